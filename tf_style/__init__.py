"""Neural style transfer by optimisation, after Gatys, Ecker and Bethge (CVPR 2016).

The names below are the public ones. Each is imported when it is first used, so that importing this
package, or asking the command line for help, does not import TensorFlow.

Of the three that render a picture, `stylize` is one call, `StyleTransfer` a run with state that can be
watched, paused, saved and restored, and `Stylizer` a pure function of tensors, for graphs and batches.
"""

import importlib
from typing import TYPE_CHECKING

from tf_style import forks as _forks  # noqa: F401  It has to know of forks from now on.
from tf_style._version import __version__

if TYPE_CHECKING:  # What `__getattr__` below does, in the form that editors and type checkers read.
    from tf_style.embed.datasets import stylize_dataset
    from tf_style.embed.layers import GramMatrix, Guides, VggFeatures
    from tf_style.embed.losses import ContentLoss, PerceptualLoss, StyleLoss
    from tf_style.embed.stylizer import Stylizer
    from tf_style.errors import InputError, TransferError
    from tf_style.images.picture import Picture
    from tf_style.images.reading import Limits
    from tf_style.images.reading import read as read_image
    from tf_style.images.writing import write as write_image
    from tf_style.network.features import Features
    from tf_style.objective.objective import Objective
    from tf_style.objective.presets import PRESETS, Preset, Scale
    from tf_style.objective.tiled import TiledObjective
    from tf_style.ops.gram import KernelInfo, gram_loss, gram_matrix, kernel_info
    from tf_style.optimize.lbfgs import Lbfgs
    from tf_style.optimize.status import Status
    from tf_style.serve.export import export_saved_model
    from tf_style.serve.student_export import export_student
    from tf_style.serve.student_lite import export_lite
    from tf_style.student.progress import TrainingProgress
    from tf_style.student.student import Student
    from tf_style.student.training import train_student
    from tf_style.transfer.evaluation_log import EvaluationLog
    from tf_style.transfer.masks import Masks
    from tf_style.transfer.prepare import PreparedInputs, prepare
    from tf_style.transfer.prepare import PreparedInputs as Inputs
    from tf_style.transfer.result import Evaluation, Progress, StylizeResult
    from tf_style.transfer.settings import Settings
    from tf_style.transfer.stylize import stylize
    from tf_style.transfer.transfer import StyleTransfer
    from tf_style.video.stylize_frames import stylize_frames

_PLACES = {
    "ContentLoss": "embed.losses.ContentLoss",
    "Evaluation": "transfer.result.Evaluation",
    "EvaluationLog": "transfer.evaluation_log.EvaluationLog",
    "Features": "network.features.Features",
    "GramMatrix": "embed.layers.GramMatrix",
    "Guides": "embed.layers.Guides",
    "InputError": "errors.InputError",
    "Inputs": "transfer.prepare.PreparedInputs",  # Its former name.
    "KernelInfo": "ops.gram.KernelInfo",
    "Lbfgs": "optimize.lbfgs.Lbfgs",
    "Limits": "images.reading.Limits",
    "Masks": "transfer.masks.Masks",
    "Objective": "objective.objective.Objective",
    "PRESETS": "objective.presets.PRESETS",
    "PerceptualLoss": "embed.losses.PerceptualLoss",
    "Picture": "images.picture.Picture",
    "PreparedInputs": "transfer.prepare.PreparedInputs",
    "Preset": "objective.presets.Preset",
    "Progress": "transfer.result.Progress",
    "Scale": "objective.presets.Scale",
    "Settings": "transfer.settings.Settings",
    "Status": "optimize.status.Status",
    "Student": "student.student.Student",
    "StyleLoss": "embed.losses.StyleLoss",
    "StyleTransfer": "transfer.transfer.StyleTransfer",
    "StylizeResult": "transfer.result.StylizeResult",
    "Stylizer": "embed.stylizer.Stylizer",
    "TiledObjective": "objective.tiled.TiledObjective",
    "TrainingProgress": "student.progress.TrainingProgress",
    "TransferError": "errors.TransferError",
    "VggFeatures": "embed.layers.VggFeatures",
    "export_lite": "serve.student_lite.export_lite",
    "export_saved_model": "serve.export.export_saved_model",
    "export_student": "serve.student_export.export_student",
    "gram_loss": "ops.gram.gram_loss",
    "gram_matrix": "ops.gram.gram_matrix",
    "kernel_info": "ops.gram.kernel_info",
    "prepare": "transfer.prepare.prepare",
    "read_image": "images.reading.read",
    "stylize": "transfer.stylize.stylize",
    "stylize_dataset": "embed.datasets.stylize_dataset",
    "stylize_frames": "video.stylize_frames.stylize_frames",
    "train_student": "student.training.train_student",
    "write_image": "images.writing.write",
}

__all__ = [
    "PRESETS",
    "ContentLoss",
    "Evaluation",
    "EvaluationLog",
    "Features",
    "GramMatrix",
    "Guides",
    "InputError",
    "Inputs",
    "KernelInfo",
    "Lbfgs",
    "Limits",
    "Masks",
    "Objective",
    "PerceptualLoss",
    "Picture",
    "PreparedInputs",
    "Preset",
    "Progress",
    "Scale",
    "Settings",
    "Status",
    "Student",
    "StyleLoss",
    "StyleTransfer",
    "StylizeResult",
    "Stylizer",
    "TiledObjective",
    "TrainingProgress",
    "TransferError",
    "VggFeatures",
    "__version__",
    "export_lite",
    "export_saved_model",
    "export_student",
    "gram_loss",
    "gram_matrix",
    "kernel_info",
    "prepare",
    "read_image",
    "stylize",
    "stylize_dataset",
    "stylize_frames",
    "train_student",
    "write_image",
]


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].rpartition(".")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
