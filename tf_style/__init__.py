"""Neural style transfer by optimisation, after Gatys, Ecker and Bethge (CVPR 2016).

The names below are the public ones. Each is imported when it is first used, so that importing this
package, or asking the command line for help, does not import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

from tf_style._version import __version__

if TYPE_CHECKING:  # What `__getattr__` below does, in the form that editors and type checkers read.
    from tf_style.errors import InputError, TransferError
    from tf_style.evaluations import EvaluationLog
    from tf_style.gram import KernelInfo, gram_loss, gram_matrix, kernel_info
    from tf_style.image_files import write as write_image
    from tf_style.images import Limits, Picture
    from tf_style.images import read as read_image
    from tf_style.inputs import Inputs, prepare
    from tf_style.layers import ContentLoss, GramMatrix, PerceptualLoss, StyleLoss, VggFeatures
    from tf_style.lbfgs import Lbfgs, Status
    from tf_style.objective import Features, Objective
    from tf_style.presets import PRESETS, Preset, Scale
    from tf_style.saved_model import export_saved_model
    from tf_style.settings import Settings
    from tf_style.stylizer import Stylizer, stylize_dataset
    from tf_style.tiling import TiledObjective
    from tf_style.transfer import Evaluation, Progress, StyleTransfer, StylizeResult, stylize

_PLACES = {
    "ContentLoss": "layers.ContentLoss",
    "Evaluation": "transfer.Evaluation",
    "EvaluationLog": "evaluations.EvaluationLog",
    "Features": "objective.Features",
    "GramMatrix": "layers.GramMatrix",
    "InputError": "errors.InputError",
    "Inputs": "inputs.Inputs",
    "KernelInfo": "gram.KernelInfo",
    "Lbfgs": "lbfgs.Lbfgs",
    "Limits": "images.Limits",
    "Objective": "objective.Objective",
    "PRESETS": "presets.PRESETS",
    "PerceptualLoss": "layers.PerceptualLoss",
    "Picture": "images.Picture",
    "Preset": "presets.Preset",
    "Progress": "transfer.Progress",
    "Scale": "presets.Scale",
    "Settings": "settings.Settings",
    "Status": "lbfgs.Status",
    "StyleLoss": "layers.StyleLoss",
    "StyleTransfer": "transfer.StyleTransfer",
    "StylizeResult": "transfer.StylizeResult",
    "Stylizer": "stylizer.Stylizer",
    "TiledObjective": "tiling.TiledObjective",
    "TransferError": "errors.TransferError",
    "VggFeatures": "layers.VggFeatures",
    "export_saved_model": "saved_model.export_saved_model",
    "gram_loss": "gram.gram_loss",
    "gram_matrix": "gram.gram_matrix",
    "kernel_info": "gram.kernel_info",
    "prepare": "inputs.prepare",
    "read_image": "images.read",
    "stylize": "transfer.stylize",
    "stylize_dataset": "stylizer.stylize_dataset",
    "write_image": "image_files.write",
}

__all__ = [
    "PRESETS",
    "ContentLoss",
    "Evaluation",
    "EvaluationLog",
    "Features",
    "GramMatrix",
    "InputError",
    "Inputs",
    "KernelInfo",
    "Lbfgs",
    "Limits",
    "Objective",
    "PerceptualLoss",
    "Picture",
    "Preset",
    "Progress",
    "Scale",
    "Settings",
    "Status",
    "StyleLoss",
    "StyleTransfer",
    "StylizeResult",
    "Stylizer",
    "TiledObjective",
    "TransferError",
    "VggFeatures",
    "__version__",
    "export_saved_model",
    "gram_loss",
    "gram_matrix",
    "kernel_info",
    "prepare",
    "read_image",
    "stylize",
    "stylize_dataset",
    "write_image",
]


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(".")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
