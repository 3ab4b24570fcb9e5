"""What decides about the graphs of a run: where it is the same, another run can go on with them."""

import dataclasses
from typing import Any

from tf_style.transfer.prepare import LevelInputs, PreparedInputs


def traced_for(inputs: PreparedInputs, device: str, precision: str) -> tuple[Any, ...]:
    """A value that is equal for runs whose graphs are: it holds none of the pictures.

    Args:
      inputs: As from `prepare`.
      device: As from `resolve_device`.
      precision: Of the network.
    """
    # Of the preset the weights are inputs of the graphs, unless there is nothing to weigh.
    preset = dataclasses.replace(
        inputs.preset,
        init="",
        content_weight=1.0,
        style_weight=1.0,
        tv_weight=float(inputs.preset.tv_weight != 0),
    )
    names = ("weights", "optimizer", "num_pairs", "pair_precision")
    of_settings = (getattr(inputs.settings, name) for name in names)
    return (preset, *of_settings, device, precision, _structure(inputs.levels[0]))


def _structure(pictures: LevelInputs) -> tuple[bool, int, bool, bool]:
    """What of a level's pictures decides about the graph."""
    return (
        pictures.content is not None,
        len(pictures.regions),
        pictures.content_weights is not None,
        pictures.earlier_frames is not None,
    )
