"""The objective: content loss, style loss and total variation of images, and their gradient."""

import collections
import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import tensorflow as tf

from tf_style.network.features import Features, num_positions
from tf_style.objective.compared import Compared
from tf_style.objective.guides import Guide
from tf_style.objective.presets import Preset
from tf_style.objective.regions import Blend, Region, blend_at
from tf_style.objective.scales import (
    LossScale,
    PartWeights,
    content_scale,
    relative_content,
    style_scales,
)
from tf_style.objective.style_statistic import style_statistic
from tf_style.objective.total_variation import total_variation

# The parts of the loss, in the order in which `parts_and_gradient` returns them.
PARTS = ("content", "style", "tv")
# What XLA compiles of an evaluation: "nothing", "network" (all but the loss) or "whole". It joins each
# convolution on a GPU with its bias, ReLU and casts, but takes seconds for each size of a run, of which
# all iterations take one. That is reasoning: `benchmarks/evaluation.py --compiled` is what decides.
COMPILED = "nothing"


class _OfPictures(NamedTuple):
    """What of an objective depends on its pictures.

    Attributes:
      content: For each content layer its activations.
      content_weights: For each content layer a weight of each position, or none.
      style: For each style layer what its activations are compared with, in each region.
      guides: For each style layer the guide of each region; none for the whole picture.
      shares: For each style layer what the loss of each region is multiplied by; none likewise.
      content_unit: float32 [batch], what the content loss is multiplied by, or None.
      factors: float32 [3], what the parts of the loss are multiplied by, or None.
      weights: float64 [3], as `PartWeights`, in place of the preset's; or None.
    """

    content: Mapping[str, Any]
    content_weights: Mapping[str, Any]
    style: Mapping[str, Sequence[Any]]
    guides: Mapping[str, Sequence[Any]]
    shares: Mapping[str, Sequence[Any]]
    content_unit: Any
    factors: Any
    weights: Any


class Objective:
    """The loss of section 2 of the paper (equation 7) for content images and some styles.

    `parts_and_gradient` is the only interface that an optimiser uses: nothing above relies on the
    activations of the whole image being in memory at once. The images of a batch have one size, and
    are independent of each other.
    """

    def __init__(
        self,
        features: Features,
        preset: Preset,
        *,
        content: tf.Tensor | None,
        styles: Sequence[tf.Tensor] = (),
        blend: Blend | None = None,
        regions: Sequence[Region] = (),
        style_targets: Mapping[str, Sequence[Any]] | None = None,
        factors: tf.Tensor | None = None,
        content_unit: tf.Tensor | None = None,
        content_weights: Mapping[str, Any] | None = None,
        kernel: str = "auto",
        any_size: bool = False,
        compiled: str = COMPILED,
    ):
        """Computes the targets, in the precision in which the loss will be evaluated.

        Args:
          features: The network.
          preset: The layers, weights and scales; without a content image its `content_layers` are
            empty, without styles its `style_layers`.
          content: float32 [batch, height, width, 3], RGB, 0..255, of the size of the images to come,
            one for each; None where there are no content layers.
          styles: Likewise, each [1 or batch, any height, any width, 3]: one for all, or one for each.
          blend: A weight for each style, to be divided by their sum, or such by style layer; None for
            equal parts.
          regions: Which styles are compared where, of the size of the images; none for all of them with
            the whole picture. Their own weights stand for `blend`.
          style_targets: Another objective's with the same regions, in place of styles.
          factors: What the parts of the loss are multiplied by, beside the preset's weights, where that
            is known only when the graph runs: float32 [3], in the order of `PARTS`.
          content_unit: Another objective's, where the preset's is relative; None for that of these
            pictures.
          content_weights: By content layer what the squares at each of its positions are multiplied by,
            float32 [1 or batch, height / stride, width / stride, 1]; None for 1.
          kernel: For the Gram matrices, as in `gram_loss`.
          any_size: Whether its graph is to serve one image of any size, so that a run in many sizes
            traces the network once: `take_over` goes on to the next. It takes factors. The preset's
            weights are inputs of the graph then, to the same bits: products of them are float64 anyway.
          compiled: As `COMPILED` says; the style loss that XLA compiles is the stock one.
        """
        self._features = features
        if compiled not in ("nothing", "network", "whole"):
            raise ValueError(f"compiled is nothing, network or whole. Received: {compiled!r}")
        self._compiled = compiled
        self._preset = preset
        self._kernel = kernel
        self._any_size = any_size
        self._factors = factors
        self._style = style_statistic(preset, kernel)
        self._regions = tuple(regions)
        if style_targets is None:
            style_targets = self._make_style_targets(styles, blend)
        shares = [region.shares(preset, xp=tf) for region in self._regions]
        guided_layers = preset.style_layers if regions else ()
        of_pictures = _OfPictures(
            content={},
            content_weights={},
            style=style_targets,
            guides={name: [_root(each.guide, name) for each in regions] for name in guided_layers},
            shares={name: [each[name] for each in shares] for name in guided_layers},
            content_unit=None,
            factors=factors,
            weights=None,
        )
        if content is not None and preset.content_layers:
            activations = features(content)
            targets = {name: activations[name] for name in preset.content_layers}
            if preset.content_unit != "absolute" and preset.style_layers:
                if content_unit is None:
                    content_unit = self._relative_unit(activations, of_pictures)
                of_pictures = of_pictures._replace(content_unit=content_unit)
            weights = content_weights or {}
            of_pictures = of_pictures._replace(
                content=targets,
                content_weights={name: tf.convert_to_tensor(each) for name, each in weights.items()},
            )
        self._of_pictures = of_pictures
        if any_size:
            self._of_pictures = tf.nest.map_structure(_in_variable, self._for_any_size())

    @property
    def style_targets(self) -> Mapping[str, Sequence[Any]]:
        """By style layer what each region is compared with, as the statistic's `target` returns it."""
        return self._of_pictures.style

    @property
    def content_unit(self) -> tf.Tensor | None:
        """Where it is relative, what each image's content loss is multiplied by, float32 [batch]."""
        unit = self._of_pictures.content_unit
        return None if unit is None else tf.convert_to_tensor(unit)

    def with_content_unit(self, unit: tf.Tensor) -> "Objective":
        """The same with another unit of the content loss, before it is used."""
        other = copy.copy(self)
        other._of_pictures = self._of_pictures._replace(content_unit=unit)
        return other

    def take_over(self, other: "Objective") -> None:
        """Goes on with another's targets and factors, for images of its size.

        Args:
          other: An objective of the same preset but for its weights, 0 where this one's is 0; this one
            was made for any size.
        """
        tf.nest.map_structure(
            lambda variable, value: variable is None or variable.assign(value),
            self._of_pictures,
            other._for_any_size(),
        )

    def _for_any_size(self) -> _OfPictures:
        """What its pictures decide, with the weights, which a graph for any size takes too."""
        weights = tf.constant(PartWeights.of(self._preset), tf.float64)
        return self._of_pictures._replace(weights=weights)

    def forget(self) -> None:
        """Frees what it holds of its pictures, until `take_over`; it was made for any size."""
        self._regions = ()
        tf.nest.map_structure(
            lambda variable: variable is None or variable.assign(_nothing(variable)), self._of_pictures
        )

    def with_content(self, content: tf.Tensor, regions: Sequence[Region] = ()) -> "Objective":
        """The same styles with other content images, [batch, height, width, 3].

        Args:
          content: The images.
          regions: Of these images, as many as this objective has targets, in place of its own.
        """
        return Objective(
            self._features,
            self._preset,
            content=content,
            regions=regions or self._regions,
            style_targets=self.style_targets,
            factors=self._factors,
            kernel=self._kernel,
            compiled=self._compiled,
        )

    def parts(self, images: tf.Tensor) -> tf.Tensor:
        """The three parts of the loss of each image.

        Args:
          images: float32 [batch, height, width, 3], RGB, 0..255.

        Returns:
          float32 [batch, 3], in the order of `PARTS`.
        """
        activations = self._network(images)
        nothing = tf.zeros_like(images[:, 0, 0, 0])
        weights = self._weights(self._of_pictures)
        content = nothing + self._content_loss(
            activations, self._of_pictures.content, weights, self._of_pictures.content_weights
        )
        if self._of_pictures.content_unit is not None:
            content *= self._of_pictures.content_unit
        style = nothing + self._style_loss(activations, self._of_pictures)
        variation = total_variation(images, self._preset, weights.tv)
        parts = tf.stack([content, style, variation], axis=1)
        factors = self._of_pictures.factors
        return parts if factors is None else parts * factors

    @functools.cached_property
    def _network(self) -> Callable[[tf.Tensor], Mapping[str, tf.Tensor]]:
        if self._compiled != "network":
            return self._features
        return tf.function(self._features, jit_compile=True, autograph=False)

    def _weights(self, pictures: _OfPictures) -> PartWeights:
        if pictures.weights is None:
            return PartWeights.of(self._preset)
        return PartWeights(*tf.unstack(pictures.weights, num=len(PARTS)))

    def _content_loss(
        self,
        activations: Mapping[str, tf.Tensor],
        targets: Mapping[str, Any],
        part_weights: PartWeights,
        weights: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        loss = 0.0
        for name, target in targets.items():
            layer = activations[name]
            scale = _at(content_scale(self._preset, part_weights), layer)
            difference = tf.cast(layer, tf.float32) - tf.cast(target, tf.float32)
            squares = tf.square(difference)
            if name in weights:
                squares *= weights[name]
            loss += scale * tf.reduce_sum(squares, axis=[1, 2, 3])
        return loss

    def _style_loss(self, activations: Mapping[str, tf.Tensor], pictures: _OfPictures) -> Any:
        compared, shares = [], []
        for name, of_layer in style_scales(self._preset, self._weights(pictures)).items():
            layer = activations[name]
            scale = _at(of_layer, layer)
            targets = pictures.style[name]
            guides = pictures.guides.get(name, [None])
            compared += [
                Compared(layer, target, guide, scale)
                for target, guide in zip(targets, guides, strict=True)
            ]
            shares += pictures.shares.get(name, [None])
        loss = 0.0
        for share, of_region in zip(shares, self._style.losses(compared), strict=True):
            loss += of_region if share is None else share * of_region
        return loss

    def _relative_unit(self, activations: Mapping[str, tf.Tensor], pictures: _OfPictures) -> tf.Tensor:
        """What the content loss is multiplied by, [batch]; 0 where no style has a position.

        Args:
          activations: Of the content images.
          pictures: With the styles' targets.
        """
        nothing = dict.fromkeys(self._preset.content_layers, 0.0)
        at_zero = self._content_loss(activations, nothing, PartWeights.of(self._preset))
        own_style = self._style_loss(activations, pictures)
        if self._regions:  # What is painted would else have less of a content loss.
            share = tf.add_n([each.counted_share(self._preset, xp=tf) for each in self._regions])
            own_style = tf.math.divide_no_nan(own_style, share)
        return relative_content(self._preset, own_style, at_zero)

    @functools.cached_property
    def parts_and_gradient(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """A tf.function from images to the parts of the loss of each, and the gradient of their sum.

        From float32 [batch, height, width, 3], RGB, 0..255, to float32 [batch, 3], in the order of
        `PARTS`, and float32 [batch, height, width, 3].
        """
        # Inlined, each call in an optimiser would be a copy of the network for TensorFlow to optimise.
        return tf.function(
            self._parts_and_gradient,
            input_signature=[tf.TensorSpec([1, None, None, 3])] if self._any_size else None,
            jit_compile=True if self._compiled == "whole" else None,
            # Nothing here needs it, and to convert the sources took half of the tracing's time.
            autograph=False,
            experimental_attributes={"_noinline": True},
        )

    def _parts_and_gradient(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            parts = self.parts(images)
            loss = tf.reduce_sum(parts)
        return parts, tape.gradient(loss, images)

    def _make_style_targets(
        self, styles: Sequence[tf.Tensor], blend: Blend | None
    ) -> dict[str, list[Any]]:
        """For each style layer the target of each region."""
        names = self._preset.style_layers
        if not names:
            return {}
        if not styles:
            raise ValueError(f"The style layers {names} take one style or more.")
        blend = blend or (1.0,) * len(styles)
        regions = self._regions or [Region(None, (None,) * len(styles), blend)]
        parts = [collections.defaultdict(list) for _ in regions]
        for index, style in enumerate(styles):
            activations = self._features(style)
            for region, of_region in zip(regions, parts, strict=True):
                for name in names:
                    if weight := blend_at(region.blend, name)[index]:
                        root = _root(region.styles[index], name)
                        sums = self._style.sums(activations[name], root)
                        of_region[name].append((sums, num_positions(activations[name]), weight))
        return {
            name: [self._style.target(*zip(*of_region[name], strict=True)) for of_region in parts]
            for name in names
        }


def _root(guide: Guide | None, name: str) -> tf.Tensor | None:
    return None if guide is None else tf.convert_to_tensor(guide.roots[name], tf.float32)


def _at(scale: LossScale, layer: tf.Tensor) -> Any:
    """The factor at a layer, of the same bits where its size is known only when the graph runs."""
    positions = num_positions(layer)
    if tf.is_tensor(positions):
        positions = tf.cast(positions, tf.float64)
    factor = scale(layer.shape[-1], positions)
    # Of a weight, or a size, that is known only then.
    return tf.cast(factor, tf.float32) if tf.is_tensor(factor) else factor


def _nothing(variable: tf.Variable) -> tf.Tensor:
    """The smallest value that a variable from `_in_variable` can have."""
    return tf.zeros([size or 0 for size in variable.shape], variable.dtype)


def _in_variable(value: Any) -> tf.Variable | None:
    if value is None:
        return None
    shape = tf.TensorShape([value.shape[0], *(None for _ in value.shape[1:])])
    return tf.Variable(value, trainable=False, shape=shape)
