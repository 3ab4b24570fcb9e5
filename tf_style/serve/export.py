"""Exports a style as a SavedModel for serving: TensorFlow's own ops only, weights included."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_style.embed.stylizer import Stylizer
from tf_style.errors import InputError
from tf_style.images.picture import resize, working_size
from tf_style.images.reading import ImageSource, as_picture, as_sources
from tf_style.serve import serving_files, trial, versions
from tf_style.serve.signatures import Signatures

# What is kept of a style image, in whole levels; larger ones are scaled down first.
MAX_STYLE_PIXELS = 2_000_000


def export_saved_model(
    style: ImageSource | Sequence[ImageSource],
    output: str | os.PathLike,
    *,
    size: int = 512,
    iterations: int = 100,
    max_iterations: int = 1000,
    version: int | None = None,
    precision: str = "float32",
    **settings,
) -> pathlib.Path:
    """Writes a SavedModel that renders pictures in a style, for TensorFlow Serving and the like.

    Signatures, each with an unknown number of pictures:
      serving_default: `image_bytes` string [None] to `stylized_bytes` string [None], PNG.
      stylize_pair: `content_bytes` and `style_bytes`, string [None], to `stylized_bytes`.
      stylize_iterations: `image_bytes` and `iterations`, int32 [None], to `stylized_bytes`.
      stylize_strength: `image_bytes` and `strength`, float32 [None], to `stylized_bytes`; it is there
        where `strength` would not be refused as a setting.
      stylize_mask: `image_bytes` and `mask_bytes`, string [None, styles], grey masks of where each
        style goes; it is there but with a `style_blend` of unequal weights.
      stylize_tensor: `images` float32 [None, None, None, 3] in 0..1, in their own size, to `stylized`,
        of the same shape.

    Args:
      style: As for `stylize`.
      output: The model's folder; the export is its subfolder `version`.
      size: What a picture's longer side is resized to.
      iterations: Of the optimiser, each of one evaluation.
      max_iterations: The most that `stylize_iterations` takes.
      version: 1 or more; None for the number after the highest there.
      precision: Of the network; float32 by default, because it is fast everywhere.
      **settings: As for `Stylizer`.

    Returns:
      The folder of the version.

    Raises:
      InputError: If the style cannot be read or is too narrow, a setting is wrong, the version exists,
        the folder cannot be written, or a small picture cannot be made with what was exported.
    """
    folder = pathlib.Path(output)
    if not 1 <= iterations <= max_iterations:
        raise InputError(
            "iterations are 1 or more, and max_iterations no fewer. "
            f"Received: iterations={iterations}, max_iterations={max_iterations}"
        )
    versions.check(folder, version)
    stylizer = Stylizer(
        [_bounded(source) for source in as_sources(style)],
        size=size,
        kernel="stock",
        iterations=iterations,
        precision=precision,
        **settings,
    )
    side = trial.small_side(stylizer)
    with versions.new(folder, version) as made:
        signatures = Signatures(stylizer, max_iterations)
        save_model(signatures.stored, signatures.traced(), made.temporary)
        serving_files.write_all(
            made.temporary, stylizer, max_iterations, name=folder.resolve().name, side=side
        )
        trial.make_one(signatures, side)
    return made.folder


def save_model(stored: tf.Module, signatures: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Saves signatures with the variables that they read; refuses operations that no server has."""
    # An empty whitelist refuses a graph with an op of ours.
    options = tf.saved_model.SaveOptions(namespace_whitelist=[], experimental_custom_gradients=False)
    tf.saved_model.save(stored, str(folder), signatures=dict(signatures), options=options)


def _bounded(style: ImageSource) -> np.ndarray:
    """A style image in whole levels, uint8 [height, width, 3]."""
    pixels = as_picture(style).pixels
    height, width = pixels.shape[:2]
    if height * width > MAX_STYLE_PIXELS:
        side = int(MAX_STYLE_PIXELS**0.5)
        pixels = resize(pixels, *working_size(height, width, side, "area"))
    return np.uint8(np.round(255.0 * pixels))
