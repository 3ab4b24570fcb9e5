"""Keras losses, for models that learn to render a style or that compare pictures."""

import base64
import copy
import dataclasses
import io
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_style.embed.pixel_range import check_masks, check_scale
from tf_style.embed.stored_config import StoredConfig, stored_format
from tf_style.errors import InputError
from tf_style.images.picture import Picture, resize, working_size
from tf_style.images.reading import ImageSource, as_picture
from tf_style.keras_on_tensorflow import keras
from tf_style.network.architecture import check_size
from tf_style.network.features import Features, num_positions
from tf_style.network.weights import load_for
from tf_style.objective.compared import Compared
from tf_style.objective.objective import Objective
from tf_style.objective.presets import (
    MEAN,
    MEAN_GRAM,
    MEAN_MOMENTS,
    Preset,
    Scale,
    StyleStatistic,
    read_preset,
)
from tf_style.objective.regions import Region
from tf_style.objective.scales import LossScale
from tf_style.objective.style_statistic import STATISTICS
from tf_style.ops.process_settings import check_process_settings
from tf_style.transfer import format_1
from tf_style.transfer.devices import resolve_device, resolve_precision
from tf_style.transfer.settings import SETTING_NAMES, Settings


class _Loss(StoredConfig, keras.losses.Loss):
    """What the losses have in common: they sum in float32, whatever Keras's `floatx` is."""

    def __init__(self, *, dtype: Any = None, **kwargs):
        """Prepares the loss.

        Args:
          dtype: What Keras turns both arguments into first, and then their losses; None for float32.
          **kwargs: As for `keras.losses.Loss`.

        Raises:
          InputError: If TensorFlow or Keras is set up in a way that is not supported.
        """
        check_process_settings()
        super().__init__(dtype=dtype or "float32", **kwargs)


@keras.saving.register_keras_serializable("tf_style")
class ContentLoss(_Loss):
    """weight * k(N, M) * sum{(F - P)**2} of the activations of one layer (equation 1)."""

    def __init__(
        self, weight: float = 1.0, scale: Scale | dict = MEAN, *, name: str = "content_loss", **kwargs
    ):
        """Prepares the loss.

        Args:
          weight: A factor.
          scale: k, by default the mean over positions and channels; `Scale(1 / 2, 0, 0)` is the
            paper's.
          name: As for `keras.losses.Loss`.
          **kwargs: As for `keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self._scale = _make_scale(weight, scale)
        self._config = dataclasses.asdict(self._scale)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each picture.

        Args:
          y_true: The content's activations P, [batch, height, width, channels].
          y_pred: The picture's F, of the same shape.

        Returns:
          [batch].
        """
        y_true, y_pred = tf.cast(y_true, tf.float32), tf.cast(y_pred, tf.float32)
        scale = self._scale(y_pred.shape[-1], num_positions(y_pred))
        return scale * tf.reduce_sum(tf.square(y_pred - y_true), axis=[1, 2, 3])


@keras.saving.register_keras_serializable("tf_style")
class StyleLoss(_Loss):
    """weight * k(N, M) * d of one layer, with d the distance of two styles as a statistic has it.

    For Gram matrices d = sum{(G - A)**2} (equation 4), by the fused op where it runs; for moments it is
    the squared Wasserstein-2 distance between normal distributions of the same mean and covariance.
    Each call then takes the eigenvectors of the style's covariance; `PerceptualLoss` does so once.
    """

    def __init__(
        self,
        weight: float = 1.0,
        scale: Scale | dict | None = None,
        *,
        statistic: StyleStatistic = "gram",
        name: str = "style_loss",
        **kwargs,
    ):
        """Prepares the loss.

        Args:
          weight: A factor.
          scale: k. None for the mean over the entries of G / M (`Scale(1 / 4, 2, 2)` is the paper's),
            or for moments the mean over the channels.
          statistic: "gram" or "moments".
          name: As for `keras.losses.Loss`.
          **kwargs: As for `keras.losses.Loss`.

        Raises:
          InputError: If the statistic is another word.
        """
        super().__init__(name=name, **kwargs)
        if statistic not in STATISTICS:
            raise InputError(f"statistic is one of {', '.join(STATISTICS)}. Received: {statistic!r}")
        mean = {"gram": MEAN_GRAM, "moments": MEAN_MOMENTS}[statistic]
        self._scale = _make_scale(weight, mean if scale is None else scale)
        self._style = STATISTICS[statistic]()
        self._config = {**dataclasses.asdict(self._scale), "statistic": statistic}

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each picture.

        Args:
          y_true: The style's activations, [1 or batch, any height, any width, channels]; or, for Gram
            matrices, A / M as `GramMatrix` gives it, [1 or batch, channels, channels].
          y_pred: The picture's activations, [batch, height, width, channels]. Either may be a pair of
            activations and of where the style is taken of them, as `Guides` has it.

        Returns:
          [batch].

        Raises:
          InputError: If matrices are given for moments, or with a guide.
        """
        (y_true, style_guide), (y_pred, guide) = _with_guide(y_true), _with_guide(y_pred)
        is_gram = self._config["statistic"] == "gram"
        if not is_gram and y_true.shape.rank != 4:
            raise InputError(
                "With statistic='moments' y_true is the style's activations, [1 or batch, height, "
                f"width, channels]. Received: shape={y_true.shape}"
            )
        if is_gram and y_true.shape.rank == 3:
            if style_guide is not None:
                raise InputError(
                    "A Gram matrix as y_true is of the whole: it takes no guide beside it."
                )
            target = y_true
        else:
            sums = self._style.sums(y_true, style_guide)
            target = self._style.target([sums], [num_positions(y_true)], None)
        scale = self._scale(y_pred.shape[-1], num_positions(y_pred))
        return self._style.losses([Compared(y_pred, target, guide, scale)])[0]


@keras.saving.register_keras_serializable("tf_style")
class PerceptualLoss(_Loss):
    """A preset's whole objective (equation 7) between pictures, in a style: to train with.

    In `model.compile(loss=PerceptualLoss("painting.jpg"), jit_compile=False)` and `model.fit(x, x)` it
    compares the model's pictures with the contents x, and their style with the painting's.
    `jit_compile=False` lets the fused op run, which XLA cannot compile.
    """

    def __init__(
        self,
        style: ImageSource,
        *,
        size: int | None = 256,
        precision: str = "float32",
        name: str = "perceptual_loss",
        reduction: str = "sum_over_batch_size",
        dtype=None,
        **settings,
    ):
        """Loads the network and computes the style's targets.

        Args:
          style: A path, the bytes of an image file, an open one or an array, as for `stylize`.
          size: The style is resized to as many pixels as a square of this side: the training pictures'.
            None to take it as it is.
          precision: Of the network, "float32", "bfloat16" or "auto".
          name: As for `keras.losses.Loss`.
          reduction: As for `keras.losses.Loss`.
          dtype: As for `keras.losses.Loss`.
          **settings: Those fields of `Settings` that choose the objective: `preset`,
            `content_weight` (alpha), `style_weight` (beta), `content_layers`, `style_layers` and so on.
            Or as `preset` a `Preset` itself, and of the others `weights` alone.

        Raises:
          InputError: If the style cannot be read or a setting is wrong.
        """
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        preset, source = _resolve(settings)
        pixels = _fitted(as_picture(style), size, preset)
        # What was chosen by its value, and the style as it was used, which is not to be resized again.
        self._config = {
            "style": base64.b64encode(_png(pixels)).decode(),
            "size": None,
            "precision": precision,
            "preset": dataclasses.asdict(preset),
            "weights": source,
        }
        self._features = Features(
            preset,
            load_for(preset, source),
            precision=resolve_precision(precision, resolve_device(None)),
        )
        self._objective = self._objective_of(preset, pixels)
        self._style_layers = preset.style_layers

    def with_style(self, style: ImageSource, *, size: int | None = 256) -> "PerceptualLoss":
        """The same loss in another style, by the same network.

        Args:
          style: As for `PerceptualLoss`.
          size: Likewise.

        Raises:
          InputError: If the style cannot be read, or is too narrow.
        """
        preset = read_preset(self._config["preset"])
        pixels = _fitted(as_picture(style), size, preset)
        other = copy.copy(self)
        other._config = {**self._config, "style": base64.b64encode(_png(pixels)).decode()}
        other._objective = self._objective_of(preset, pixels)
        return other

    def _objective_of(self, preset: Preset, pixels: np.ndarray) -> Objective:
        style_batch = tf.constant(pixels[np.newaxis], tf.float32)
        return Objective(self._features, preset, content=None, styles=[style_batch])

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each picture; arguments and errors as for `parts`.

        Returns:
          [batch].
        """
        return tf.reduce_sum(self.parts(y_true, y_pred), axis=1)

    def parts(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The content loss, the style loss and the total variation of each picture, weighted.

        Args:
          y_true: The contents, [batch, height, width, 3], RGB, 0..1; or [batch, height, width, 4], the
            fourth a mask in 0..1, white where the style goes.
          y_pred: The pictures, [batch, height, width, 3].

        Returns:
          [batch, 3].

        Raises:
          InputError: If the values of either are known, and far beyond 0..1, or a mask's beyond it.
            In a graph pixels in 0..255 are taken as very bright ones, and the loss is huge.
        """
        y_true, y_pred = tf.cast(y_true, tf.float32), tf.cast(y_pred, tf.float32)
        has_mask = y_true.shape.rank == 4 and y_true.shape[-1] == 4
        # Where it is not known how many channels there are, a mask would be left out in silence.
        y_true = tf.ensure_shape(y_true, [None, None, None, 4 if has_mask else 3])
        for pictures in (y_true[..., :3], y_pred):
            check_scale(pictures)
        regions = []
        if has_mask:
            check_masks(y_true[..., 3:])
            regions = [Region.of(y_true[..., 3:], [None], (1.0,), self._style_layers, xp=tf)]
        contents = tf.stop_gradient(255.0 * y_true[..., :3])
        objective = self._objective.with_content(contents, regions)
        if regions and (unit := objective.content_unit) is not None:
            # Where no style goes, the content must count all the same.
            objective = objective.with_content_unit(tf.where(unit > 0, unit, tf.ones_like(unit)))
        return objective.parts(255.0 * y_pred)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PerceptualLoss":
        """As `StoredConfig.from_config`."""
        config = dict(config)
        if stored_format(config) == 1:
            # Two arguments of its own have the names of settings.
            names = SETTING_NAMES - {"size", "precision"}
            given = {name: config.pop(name) for name in names & config.keys()}
            preset = format_1.resolve(given, has_content=True, num_styles=1)
            config |= {"size": None, "weights": format_1.complete(given)["weights"]}
        else:
            preset = read_preset(config["preset"])
        return super().from_config(
            {**config, "preset": preset, "style": base64.b64decode(config["style"])}
        )


def _resolve(settings: dict[str, Any]) -> tuple[Preset, str]:
    """The objective and the source of the weights that settings mean."""
    if not isinstance(settings.get("preset"), Preset):
        chosen = Settings(**settings)
        return chosen.resolve(has_content=True, num_styles=1), chosen.weights
    if others := settings.keys() - {"preset", "weights"}:
        raise InputError(
            "A `Preset` has the whole objective: change it by dataclasses.replace. "
            f"Received: {', '.join(sorted(others))} beside preset"
        )
    return settings["preset"], settings.get("weights", Settings.weights)


def _fitted(picture: Picture, size: int | None, preset: Preset) -> np.ndarray:
    """The style in its working size, uint8 [height, width, 3].

    In whole levels, so that what a configuration holds is exactly what was used.
    """
    height, width = picture.height, picture.width
    if size is not None:
        height, width = working_size(height, width, size, "area")
    check_size(preset.layers, height, width, "A style image")
    return np.round(255.0 * resize(picture.pixels, height, width)).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _with_guide(activations: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
    activations, guide = activations if isinstance(activations, list | tuple) else (activations, None)
    return tf.cast(activations, tf.float32), guide


def _make_scale(weight: float, scale: Scale | dict[str, Any]) -> LossScale:
    return LossScale(float(weight), Scale(**scale) if isinstance(scale, dict) else scale)
