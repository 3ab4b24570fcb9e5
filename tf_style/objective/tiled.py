"""The same loss and gradient from tiles of the image, exactly, in a fraction of the memory.

What the style is computed from, a Gram matrix, is a sum over positions. Pass one runs the network on
each tile with a halo, keeps of each layer the positions that the tile owns, and adds up their Gram
matrices; with these the derivatives dL/dG of the style loss are known. Pass two goes forward and back
through each tile with dL/dG held fixed, and adds the gradients at the tiles' pixels into the image's.
"""

import dataclasses
import math
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.network.architecture import find_layer
from tf_style.network.features import Features
from tf_style.objective.guides import Guide
from tf_style.objective.presets import Preset
from tf_style.objective.regions import Blend, Region, blend_at
from tf_style.objective.scales import TileScales, relative_content
from tf_style.objective.style_statistic import style_statistic
from tf_style.objective.tile_plan import Tile, halo_px, plan_tiles
from tf_style.objective.tile_pool import LocalPool, TilePool
from tf_style.objective.tile_worker import TileWorker


class TiledObjective:
    """As `Objective`, for one image whose activations would not fit in memory at once."""

    def __init__(
        self,
        features: Features,
        preset: Preset,
        *,
        content: np.ndarray | None,
        styles: Sequence[np.ndarray] = (),
        blend: Blend | None = None,
        regions: Sequence[Region] = (),
        content_unit: tf.Tensor | None = None,
        content_weights: Mapping[str, np.ndarray] | None = None,
        height: int,
        width: int,
        tile_px: int,
        halo: int | None = None,
        pool: TilePool | None = None,
    ):
        """Computes the targets, by tiles too.

        Args:
          features: The network.
          preset: The layers, weights and scales, as for `Objective`.
          content: float32 [1, height, width, 3], RGB, 0..255, or None.
          styles: Each float32 [1, any height, any width, 3].
          blend: As for `Objective`.
          regions: As for `Objective`; the pool's workers are made for as many guides.
          content_unit: As for `Objective`.
          content_weights: As for `Objective`, of one image; the pool's workers are made for them.
          height: Of the image to come, in pixels.
          width: Of the image to come, in pixels.
          tile_px: A tile's side, without its halo.
          halo: In pixels; None for the least that is exact, and less is not.
          pool: Who computes; None for this process alone.
        """
        self._preset = preset
        self._style = style_statistic(preset)
        self._halo = halo_px(preset.layers) if halo is None else halo
        self._tile_px = tile_px
        self._pool = pool or LocalPool(
            TileWorker(features, preset, len(regions), has_content_weights=bool(content_weights))
        )
        self._shape = (1, height, width, 3)
        self._tiles = self._plan(height, width)
        self._scales = TileScales.of(preset, height, width)
        self._content_targets = self._make_content_targets(content)
        self._content_weights = content_weights or {}
        self._roots = self._roots_of([region.guide for region in regions], height, width)
        shares = [region.shares(preset) for region in regions]
        self._share = sum(float(each.counted_share(preset)[0]) for each in regions) or 1.0
        # By style layer and region.
        self._shares = [[float(each[name][0]) for each in shares] for name in preset.style_layers]
        self._style_targets = self._make_style_targets(styles, blend, regions)
        self.content_unit = content_unit
        if self._content_targets and preset.content_unit != "absolute" and preset.style_layers:
            if content_unit is None:
                self.content_unit = self._relative_unit(content)
            unit = float(self.content_unit[0])
            scales = tuple(unit * scale for scale in self._scales.content)
            self._scales = dataclasses.replace(self._scales, content=scales)

    def parts_and_gradient(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The three parts of the loss, and the gradient of their sum.

        Args:
          image: float32 [1, height, width, 3], RGB, 0..255.

        Returns:
          float32 [1, 3], in the order of `PARTS`, and float32 [1, height, width, 3].
        """
        # The tiles are Python's: what is between two of them costs nothing beside one. TensorFlow keeps
        # the function as long as the process lives, so it must not keep the targets.
        evaluate = weakref.WeakMethod(self._evaluate)
        parts, gradient = tf.numpy_function(
            lambda pixels: evaluate()(pixels),
            [tf.ensure_shape(image, self._shape)],
            [tf.float32, tf.float32],
            stateful=False,
        )
        return tf.ensure_shape(parts, [1, 3]), tf.ensure_shape(gradient, self._shape)

    def _plan(self, height: int, width: int) -> list[Tile]:
        return plan_tiles(height, width, self._tile_px, self._preset.layers, halo=self._halo)

    def _evaluate(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [1, 3] and [1, height, width, 3], as `parts_and_gradient`."""
        scales = self._scales
        content = variation = 0.0
        style, derivatives = self._style_loss_and_derivatives(image)
        gradient = np.zeros(self._shape, np.float32)
        requests = (
            (
                tile.crop(image),
                tile,
                [target.read(index) for target in self._content_targets],
                [
                    self._content_weights[name][tile.place(find_layer(name).stride)]
                    for name in self._preset.content_layers
                    if self._content_weights
                ],
                scales,
                derivatives,
                _owned(self._roots, tile, self._preset),
            )
            for index, tile in enumerate(self._tiles)
        )
        # In the tiles' order, whoever computed them, so that the bits do not depend on that.
        for tile, (of_content, of_variation, part) in zip(
            self._tiles, self._pool.map(TileWorker.gradient, requests), strict=True
        ):
            content += of_content
            variation += of_variation
            tile.crop(gradient)[...] += part
        return np.float32([[content, style, variation]]), gradient

    def _style_loss_and_derivatives(self, image: np.ndarray) -> tuple[float, list[list[np.ndarray]]]:
        """The style loss, and by style layer and region its derivative, of `loss_and_derivative`."""
        style = 0.0
        derivatives = []
        for of_layer, targets, positions, scale, shares in zip(
            self._style_sums(image, self._tiles, self._roots),
            self._style_targets,
            self._scales.positions,
            self._scales.style,
            self._shares,
            strict=True,
        ):
            derivatives.append([])
            for sums, target, share in zip(of_layer, targets, shares or [1.0], strict=True):
                loss, derivative = self._style.loss_and_derivative(
                    sums, target, positions, share * scale
                )
                style += loss
                derivatives[-1].append(derivative)
        return style, derivatives

    def _relative_unit(self, content: np.ndarray) -> tf.Tensor:
        """What the content loss is multiplied by, float32 [1]."""
        at_zero = sum(
            scale * float(np.sum(np.square(target.read(index).astype(np.float32), dtype=np.float64)))
            for target, scale in zip(self._content_targets, self._scales.content, strict=True)
            for index in range(len(self._tiles))
        )
        style, _ = self._style_loss_and_derivatives(content)
        return tf.constant([relative_content(self._preset, style / self._share, at_zero)], tf.float32)

    def _roots_of(self, guides: Sequence[Guide | None], height: int, width: int) -> "_Roots":
        """For each style layer the guide of each region, 1 where there is none."""

        def ones(name: str) -> np.ndarray:
            stride = find_layer(name).stride
            return np.ones((1, height // stride, width // stride, 1), np.float32)

        return [
            [ones(name) if guide is None else guide.roots[name] for guide in guides]
            for name in self._preset.style_layers
        ]

    def _style_sums(
        self, image: np.ndarray, tiles: Sequence[Tile], roots: "_Roots"
    ) -> list[list[np.ndarray]]:
        """Of the whole image, float64, for each style layer and region."""
        if not self._preset.style_layers:
            return []
        requests = ((tile.crop(image), tile, _owned(roots, tile, self._preset)) for tile in tiles)
        parts = list(self._pool.map(TileWorker.style_sums, requests))
        return [
            [self._style.merged(of_region) for of_region in zip(*of_layer, strict=True)]
            for of_layer in zip(*parts, strict=True)
        ]

    def _make_content_targets(self, content: np.ndarray | None) -> list["_DiskArrays"]:
        """For each content layer one array a tile, on disk: together they take much memory."""
        if content is None or not self._preset.content_layers:
            return []
        stores = [_DiskArrays() for _ in self._preset.content_layers]
        requests = ((tile.crop(content), tile) for tile in self._tiles)
        for arrays in self._pool.map(TileWorker.content, requests):
            for store, array in zip(stores, arrays, strict=True):
                store.append(array)
        return stores

    def _make_style_targets(
        self, styles: Sequence[np.ndarray], blend: Blend | None, regions: Sequence[Region]
    ) -> list[list[Any]]:
        """For each style layer the target of each region, as the statistic's `target` returns it."""
        if self._preset.style_layers and not styles:
            raise ValueError(
                f"The style layers {self._preset.style_layers} take a style image or more."
            )
        sums, positions = [], []
        for index, style in enumerate(styles):
            height, width = style.shape[1:3]
            roots = self._roots_of([region.styles[index] for region in regions], height, width)
            sums.append(self._style_sums(style, self._plan(height, width), roots))
            positions.append(TileScales.of(self._preset, height, width).positions)
        blends = [region.blend for region in regions] or [blend or (1.0,) * len(styles)]
        # From layers by style to styles by layer.
        return [
            [
                self._style.target(*_with_weight(of_region, counts, blend_at(weights, name)))
                for of_region, weights in zip(zip(*of_layer, strict=True), blends, strict=True)
            ]
            for name, of_layer, counts in zip(
                self._preset.style_layers,
                zip(*sums, strict=True),
                zip(*positions, strict=True),
                strict=True,
            )
        ]


# By style layer and region.
_Roots = list[list[np.ndarray]]


def _owned(roots: _Roots, tile: Tile, preset: Preset) -> _Roots:
    return [
        [root[tile.place(find_layer(name).stride)] for root in of_layer]
        for name, of_layer in zip(preset.style_layers, roots, strict=True)
    ]


def _with_weight(sums: Sequence, positions: Sequence, blend: Sequence[float]) -> tuple:
    """What `target` takes, of the styles that have a part in the blend."""
    return tuple(
        zip(*(each for each in zip(sums, positions, blend, strict=True) if each[2]), strict=True)
    )


class _DiskArrays:
    """Arrays in a file without a name, in the order in which they were appended."""

    def __init__(self):
        self._file = tempfile.TemporaryFile()
        self._places: list[tuple[int, tuple[int, ...], np.dtype]] = []

    def __del__(self):
        self._file.close()

    def append(self, array: np.ndarray) -> None:
        self._places.append((self._file.seek(0, 2), array.shape, array.dtype))
        self._file.write(array.tobytes())

    def read(self, index: int) -> np.ndarray:
        place, shape, dtype = self._places[index]
        self._file.seek(place)
        return np.frombuffer(self._file.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
