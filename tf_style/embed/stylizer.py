"""Style transfer as a function of tensors: for a tf.function, a tf.data pipeline or an export."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.embed.graph_pictures import check_strength, checked, checked_masks, lanczos, mask_at
from tf_style.embed.working_sizes import WorkingSizes, require
from tf_style.errors import InputError
from tf_style.forks import check_not_forked
from tf_style.images.reading import ImageSource, as_picture, as_sources
from tf_style.network.architecture import MEAN_RGB
from tf_style.network.features import Features
from tf_style.network.weights import load_for
from tf_style.objective.objective import Objective
from tf_style.objective.presets import Preset, strength_factors
from tf_style.objective.regions import Region
from tf_style.optimize.lbfgs_state import State
from tf_style.optimize.lbfgs_step import LbfgsUpdate, minimize
from tf_style.optimize.preconditioner import fourier_preconditioner
from tf_style.transfer import kept_colours, pyramid
from tf_style.transfer.devices import resolve_device, resolve_precision
from tf_style.transfer.enlarge import enlarged
from tf_style.transfer.margin import with_margin, without_margin
from tf_style.transfer.prepare import NOISE_STDDEV
from tf_style.transfer.settings import Settings, is_file_name

# Fewer than a `StyleTransfer` keeps: a loop in a graph holds the pairs twice.
HISTORY = 10
# Settings that have no meaning in a graph, and the one value, or None, that they may have.
_FIXED = {
    "levels": 1,
    "optimizer": "lbfgs",
    "tile": "auto",
    "memory": None,
    "ray": None,
    "style_part": None,
}


class Stylizer(tf.Module):
    """Style transfer as a pure function of tensors, in any graph.

    It minimises what `stylize` minimises, coarse to fine at the same sizes and in the graph that it is
    called in; it has no state between calls, where a `StyleTransfer` is one run that can be watched,
    paused and saved. Where a picture's size is known only when the graph runs, so is the number of its
    sizes: one loop goes over them, and the network is traced once.

    Pictures of a batch are optimised together, and are independent of each other: each ends where it
    would alone, from noise too, for the noise depends on the seed and the size only and is the same
    for all pictures of a batch. Only the rounding of a batch's convolutions differs.
    """

    def __init__(
        self,
        style: ImageSource | Sequence[ImageSource] | None,
        *,
        size: int | None = None,
        kernel: str = "auto",
        **settings,
    ):
        """Loads the network and the styles.

        Args:
          style: As for `stylize`; several are blended. None where each call brings its own.
          size: What the longer side (or what `size_of` says) is resized to; None to keep each picture's
            own size.
          kernel: For the convolutions and the Gram matrices, as in `gram_loss`.
          **settings: The other fields of `Settings`, but for those that make no sense in a graph.

        Raises:
          InputError: If the style cannot be read, or a setting is wrong or would have no effect.
        """
        super().__init__(name="stylizer")
        self.settings = settings = Settings(size=size or Settings.size, **settings)
        _check(settings, has_size=size is not None)
        sources = [] if style is None else as_sources(style)
        pictures = [as_picture(source).pixels for source in sources]
        self.size = size
        inputs = {"has_content": True, "num_styles": len(pictures) or 1}
        settings.resolve(**inputs)
        # The strength is a factor of its own, which each call may bring.
        self.preset: Preset = dataclasses.replace(settings, strength=None).resolve(**inputs)
        self.why_no_strength = settings.why_no_strength(self.preset, **inputs)
        is_blended = len(set(settings.style_blend or ())) > 1
        self.why_no_masks = "masks say where each style goes" if is_blended else None
        if is_file_name(self.preset.init) or self.preset.init in ("style", "student"):
            raise InputError("A Stylizer starts from 'content' or 'noise'. Received: init")
        self._kernel = kernel
        self.sizes = WorkingSizes(self.preset, settings, has_size=size is not None)
        self._device = resolve_device(settings.device)
        with self._on_device():
            self.own_styles = [
                tf.constant(255.0 * pixels[np.newaxis], tf.float32) for pixels in pictures
            ]
            self.features = Features(
                self.preset,
                load_for(self.preset, settings.weights),
                precision=resolve_precision(settings.precision, self._device),
                kernel=kernel,
            )
        self._lbfgs = functools.partial(
            LbfgsUpdate,
            history=settings.pairs or HISTORY,
            pair_dtype=tf.dtypes.as_dtype(settings.pair_precision),
            kernel=kernel,
        )

    @tf.autograph.experimental.do_not_convert
    def __call__(
        self,
        contents: tf.Tensor,
        styles: Sequence[tf.Tensor] | None = None,
        *,
        iterations: int | tf.Tensor | None = None,
        strength: float | tf.Tensor | None = None,
        masks: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Renders a batch.

        Args:
          contents: float32 [batch, height, width, 3], RGB, finite and in 0..1, but for what resampling
            overshoots by; sizes may be known only at run time.
          styles: Each likewise [1 or batch, any height, any width, 3]; None for the Stylizer's own.
          iterations: A scalar, of all sizes together; None for the settings'. With fewer iterations
            than sizes the coarsest ones are left out.
          strength: A scalar, 0..1; None for the settings'.
          masks: Where each style goes: float32 [batch, height, width, styles] in 0..1, of the contents'
            size. Elsewhere the photograph stays. None for all of them everywhere.

        Returns:
          float32 [batch, height, width, 3], RGB, 0..1, resized if the Stylizer has a size.

        Raises:
          InputError: If the contents, styles or masks have another rank or dtype, or strength, or
            style_blend beside masks, would have no effect. Eagerly also if pixels are on another scale
            or not finite, or if a picture or a style is too small for the network, or too large.
          tf.errors.InvalidArgumentError: In a graph if these do not hold when it runs; and if the
            strength is not in 0..1.
        """
        check_not_forked()
        with self._on_device():
            return self._render(contents, styles, iterations, strength, masks)

    def _render(
        self,
        contents: tf.Tensor,
        styles: Sequence[tf.Tensor] | None,
        iterations: int | tf.Tensor | None,
        strength: float | tf.Tensor | None,
        masks: tf.Tensor | None,
    ) -> tf.Tensor:
        contents = checked(contents, "Contents are float32 [batch, height, width, 3]")
        if self.size is not None:
            size = self.sizes.of_picture(tf.shape(contents)[1:3])
            with tf.control_dependencies(require(self.sizes.requirements(size, (), 1))):
                contents = tf.identity(contents)
        if masks is not None:
            masks = checked_masks(masks, contents, len(self.own_styles if styles is None else styles))
        originals, contents = 255.0 * contents, 255.0 * self.resized(contents)
        if styles is None:
            styles = self.own_styles
        else:
            expected = "Styles are float32 [1 or batch, height, width, 3]"
            styles = [255.0 * checked(style, expected) for style in styles]
        state = self.optimize(
            contents, styles, iterations, strength=strength, masks=masks, originals=originals
        )
        return tf.clip_by_value(state.position / 255.0, 0.0, 1.0)

    def optimize(
        self,
        contents: tf.Tensor,
        styles: Sequence[tf.Tensor],
        iterations: int | tf.Tensor | None = None,
        features: Features | None = None,
        strength: float | tf.Tensor | None = None,
        masks: tf.Tensor | None = None,
        originals: tf.Tensor | None = None,
    ) -> State:
        """What `__call__` does between two conversions of pixels.

        Args:
          contents: float32 [batch, height, width, 3], RGB, 0..255, of the size to work in.
          styles: Each likewise [1 or batch, any height, any width, 3].
          iterations: A scalar, of one evaluation each, and one for each size's start; None for the
            settings'.
          features: In place of the Stylizer's own.
          strength: A scalar, 0..1; None for the settings'.
          masks: As for `__call__`, of any size.
          originals: The contents before they were resized, of which the smaller sizes are made; None
            for the contents.

        Returns:
          The state at the end of the last size, with a loss and a status for each picture, and the
          picture in 0..255 as its position; what it has of the optimiser is with the margin. Each size
          begins anew, also where the one below has failed.
        """
        iterations = self.settings.iterations if iterations is None else iterations
        if strength is not None and self.why_no_strength:
            raise InputError(f"strength would have no effect: {self.why_no_strength}.")
        strength = self.settings.strength if strength is None else strength
        factors = (1.0, 1.0, 1.0) if strength is None else strength_factors(strength)
        if 1 < len(self.settings.style_scales) < len(styles):
            raise InputError(
                "style_scale has one number for each style. Received: "
                f"{len(self.settings.style_scales)} for {len(styles)} styles"
            )
        if masks is not None and self.why_no_masks:
            raise InputError(f"style_blend would have no effect: {self.why_no_masks}.")
        sizes = [tf.shape(style)[1:3] for style in styles]
        requirements = self.sizes.requirements(tf.shape(contents)[1:3], sizes, iterations)
        with tf.control_dependencies([*require(requirements), *check_strength(strength)]):
            photographs = tf.identity(contents)
        keep = self.settings.keep_colors
        contents = kept_colours.of_photograph(keep, photographs, xp=tf)

        def at_one_size(
            contents: tf.Tensor,
            start: tf.Tensor,
            iterations: Any,
            of_size: Sequence,
            choose_unit: Callable[[tf.Tensor], tf.Tensor] = lambda own: own,
        ) -> tuple[State, tf.Tensor | None]:
            margin = self.sizes.margin(contents)
            objective = Objective(
                features or self.features,
                self.preset,
                content=with_margin(contents, margin, tf),
                styles=[self._fitted(style, contents, index) for index, style in enumerate(styles)],
                blend=self.settings.style_blend,
                regions=self._regions(masks, tf.shape(contents)[1:3], margin),
                factors=tf.stack(factors) * tf.stack(of_size),
                kernel=self._kernel,
            )
            if objective.content_unit is not None:
                objective = objective.with_content_unit(choose_unit(objective.content_unit))

            def evaluate(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                parts, gradient = objective.parts_and_gradient(images)
                return tf.reduce_sum(parts, axis=1), gradient

            lbfgs = self._lbfgs(evaluate, initial_inverse_hessian=fourier_preconditioner())
            state = minimize(lbfgs, with_margin(start, margin, tf), iterations + 1)
            pictures = tf.ensure_shape(without_margin(state.position, margin, tf), contents.shape)
            return state._replace(position=pictures), objective.content_unit

        if self._has_one_size(contents):
            state, _ = at_one_size(contents, self._start(contents), iterations, (1.0, 1.0, 1.0))
        else:
            originals = photographs if originals is None else originals
            state = self._coarse_to_fine(contents, originals, iterations, at_one_size)
        pictures = tf.clip_by_value(state.position, 0.0, 255.0)
        pictures = kept_colours.of_result(keep, pictures, photographs, xp=tf)
        if masks is not None:
            where = mask_at(tf.reduce_sum(masks, axis=-1, keepdims=True), tf.shape(pictures)[1:3])
            pictures = photographs + tf.minimum(where, 1.0) * (pictures - photographs)
        return state._replace(position=pictures)

    def _on_device(self) -> contextlib.AbstractContextManager:
        """Places what is made within on the device that was asked for, if one was."""
        return tf.device(self._device) if self.settings.device else contextlib.nullcontext()

    def _regions(
        self, masks: tf.Tensor | None, size: tf.Tensor, margin: int | tf.Tensor
    ) -> list[Region]:
        """One for each style, at a working size, of the picture with its margin."""
        if masks is None:
            return []
        count = masks.shape[-1]
        return [
            Region.of(
                with_margin(mask_at(masks[..., index : index + 1], size), margin, tf),
                (None,) * count,
                tuple(float(index == each) for each in range(count)),
                self.preset.style_layers,
                xp=tf,
            )
            for index in range(count)
        ]

    def _coarse_to_fine(
        self,
        contents: tf.Tensor,
        originals: tf.Tensor,
        iterations: int | tf.Tensor,
        at_one_size: Callable[..., tuple[State, tf.Tensor | None]],
    ) -> State:
        """Optimises at each size from where the one below has ended, in a loop that is traced once."""
        count, sides = self.sizes.levels(tf.shape(contents)[1:3], iterations)
        iterations = tf.cast(iterations, tf.float64)
        counts = tf.cast(pyramid.shares(iterations, count, self.preset, tf), tf.int32)
        count = tf.cast(count, tf.int32)

        def go_on(index: tf.Tensor, state: State, below: tf.Tensor, unit: tf.Tensor) -> tuple:
            size = sides[:, count - 1 - index]
            here = tf.clip_by_value(lanczos(originals, tf.cast(size, tf.int32)), 0.0, 255.0)
            here = kept_colours.of_photograph(self.settings.keep_colors, here, xp=tf)
            start = tf.cond(
                index == 0,
                lambda: self._start(here),
                lambda: enlarged(state.position, below, here),
            )
            ratio = tf.cast(tf.reduce_prod(sides[:, 0]) / tf.reduce_prod(size), tf.float32)
            of_size = pyramid.size_factors(self.preset, ratio)
            # As in `StyleTransfer`, that of the first size that has one.
            state, own = at_one_size(
                *(here, start, counts[index], of_size), lambda own: tf.where(unit > 0, unit, own)
            )
            return index + 1, state, here, unit if own is None else own

        # Stands for the state below the first size, and is never read.
        nothing = tf.zeros_like(contents[:, :1, :1])
        state = self._lbfgs(lambda images: (images[:, 0, 0, 0], images)).init(nothing)
        pictures = tf.TensorShape([contents.shape[0], None, None, 3])
        begin = (tf.constant(0), state, nothing, tf.zeros_like(nothing[:, 0, 0, 0]))
        _, state, _, _ = tf.while_loop(
            lambda index, *_: index < count,
            go_on,
            begin,
            shape_invariants=tf.nest.map_structure(
                lambda each: pictures if each.shape.rank == 4 else each.shape, begin
            ),
            parallel_iterations=1,
        )
        return state._replace(position=tf.ensure_shape(state.position, contents.shape))

    def _has_one_size(self, contents: tf.Tensor) -> bool:
        """Whether that is known before the graph runs."""
        height, width = contents.shape[1:3]
        if self.settings.levels == 1:
            return True
        if height is None or width is None:
            return False
        return pyramid.automatic_levels(height, width, self.preset) == 1

    def _start(self, contents: tf.Tensor) -> tf.Tensor:
        """Where the first size begins."""
        if self.preset.init == "content":
            return contents
        # The same for each picture, or it would depend on the picture's place in the batch.
        shape = tf.stack([1, *_height_and_width(contents), 3])
        noise = tf.random.stateless_normal(shape, [self.settings.seed or 0, 0])
        start = tf.constant(MEAN_RGB) + NOISE_STDDEV * noise
        return tf.ensure_shape(tf.broadcast_to(start, tf.shape(contents)), contents.shape)

    def resized(self, contents: tf.Tensor) -> tf.Tensor:
        """Pictures [batch, height, width, 3] in 0..1 at the working size."""
        if self.size is None:
            return contents
        size = self.sizes.of_picture(tf.shape(contents)[1:3])
        return tf.clip_by_value(lanczos(contents, size), 0.0, 1.0)

    def _fitted(self, styles: tf.Tensor, contents: tf.Tensor, index: int) -> tf.Tensor:
        """Style images at the size that the preset wants for the contents, in the colours to work with.

        One for all of them, or one for each; of the style that has this place among several.
        """
        size = self.sizes.of_style(tf.shape(styles)[1:3], tf.shape(contents)[1:3], index)
        styles = tf.clip_by_value(lanczos(styles, size), 0.0, 255.0)
        keep = self.settings.keep_colors
        if keep is None:
            return styles
        shape = tf.concat([tf.shape(contents)[:1], tf.shape(styles)[1:]], 0)
        return tf.map_fn(
            lambda pair: kept_colours.of_style(keep, *pair, xp=tf),
            (tf.broadcast_to(styles, shape), contents),
            fn_output_signature=tf.TensorSpec([None, None, 3]),
        )


def _check(settings: Settings, *, has_size: bool) -> None:
    """Refuses settings that would have no effect."""
    for field, only in _FIXED.items():
        value = getattr(settings, field)
        if value not in (only, None):
            raise InputError(f"A Stylizer's {field} is {only!r}. Received: {value!r}")
    if settings.size_of != "long" and not has_size:
        raise InputError("size_of would have no effect: there is no size.")


def _height_and_width(pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    height, width = tf.unstack(tf.shape(pictures)[1:3])
    return height, width
