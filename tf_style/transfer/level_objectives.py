"""The objective of a transfer at each of its working sizes: as a whole, or by tiles."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.network.features import Features
from tf_style.objective import ray_pool
from tf_style.objective.objective import Objective
from tf_style.objective.presets import Preset
from tf_style.objective.tile_plan import is_cut
from tf_style.objective.tile_pool import LocalPool, TilePool
from tf_style.objective.tile_worker import TileWorker
from tf_style.objective.tiled import TiledObjective
from tf_style.transfer.margin import with_margin
from tf_style.transfer.prepare import LevelInputs, PreparedInputs
from tf_style.transfer.pyramid import Level


@dataclasses.dataclass(frozen=True, eq=False)
class LevelObjectives:
    """What makes them.

    Attributes:
      inputs: The transfer's.
      tile_px: The side of a tile at sizes that are larger, or None for none.
      device: Where they are evaluated.
      precision: Of the network.
    """

    inputs: PreparedInputs
    tile_px: int | None
    device: str
    precision: str

    def is_tiled(self, level: Level) -> bool:
        """Whether a size is evaluated by tiles."""
        if self.tile_px is None:
            return False
        return is_cut(max(level.sides), self.tile_px, self.inputs.preset.layers)

    def make(
        self,
        features: Features,
        pictures: LevelInputs,
        *,
        content_unit: tf.Tensor | None,
        style_targets: Mapping[str, Sequence[Any]] | None = None,
        any_size: bool,
    ) -> Objective | TiledObjective:
        """Computes the targets of a size, for the picture with its margin.

        Args:
          features: The network.
          pictures: Of that size.
          content_unit: As for `Objective`.
          style_targets: As for `Objective`; tiles compute their own.
          any_size: As for `Objective`; tiles have a size of their own.
        """
        level, preset = pictures.level, self.inputs.preset
        height, width = level.sides
        content = pictures.content
        if content is not None:
            content = with_margin(content, level.margin)
        if not self.is_tiled(level):
            return Objective(
                features,
                preset,
                content=None if content is None else _batch(content),
                styles=[] if style_targets else [_batch(style) for style in pictures.styles],
                style_targets=style_targets,
                blend=pictures.blend,
                regions=pictures.regions,
                content_unit=content_unit,
                content_weights=pictures.content_weights,
                factors=tf.constant(level.factors, tf.float32),
                any_size=any_size,
            )
        preset = preset.times(*level.factors)
        return TiledObjective(
            features,
            preset,
            content=None if content is None else content[np.newaxis],
            styles=[style[np.newaxis] for style in pictures.styles],
            blend=pictures.blend,
            regions=pictures.regions,
            content_unit=content_unit,
            content_weights=pictures.content_weights,
            height=height,
            width=width,
            tile_px=self.tile_px,
            pool=self._make_pool(features, preset, pictures),
        )

    def _make_pool(self, features: Features, preset: Preset, pictures: LevelInputs) -> TilePool:
        kind = {
            "num_guides": len(pictures.regions),
            "has_content_weights": pictures.content_weights is not None,
        }
        if self.inputs.settings.ray is None:
            return LocalPool(TileWorker(features, preset, **kind), self.device)
        return ray_pool.RayPool(preset, self.inputs.weights, self.precision, **kind)


def _batch(image: np.ndarray) -> tf.Tensor:
    return tf.constant(image[np.newaxis], tf.float32)
