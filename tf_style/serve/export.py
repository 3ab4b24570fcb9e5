"""Exports a style as a SavedModel for serving: TensorFlow's own ops only, weights included."""

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_style.embed.stylizer import Stylizer
from tf_style.errors import InputError
from tf_style.files import shown
from tf_style.images.picture import resize, working_size
from tf_style.images.reading import ImageSource, as_picture, as_sources
from tf_style.serve import serving_files, trial
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
    _check_version(folder, version)
    stylizer = Stylizer(
        [_bounded(source) for source in as_sources(style)],
        size=size,
        kernel="stock",
        iterations=iterations,
        precision=precision,
        **settings,
    )
    side = trial.small_side(stylizer)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be written: {error.strerror}") from error
    try:
        signatures = Signatures(stylizer, max_iterations)
        _save(signatures, temporary)
        serving_files.write_all(
            temporary, stylizer, max_iterations, name=folder.resolve().name, side=side
        )
        trial.make_one(signatures, side)
        temporary.chmod(0o755)
        return _publish(temporary, folder, version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # It holds an export.
                folder.rmdir()


def _save(signatures: Signatures, folder: pathlib.Path) -> None:
    # An empty whitelist refuses a graph with an op of ours, which no server has.
    options = tf.saved_model.SaveOptions(namespace_whitelist=[], experimental_custom_gradients=False)
    traced = signatures.traced()
    tf.saved_model.save(signatures.stored, str(folder), signatures=traced, options=options)


def _bounded(style: ImageSource) -> np.ndarray:
    """A style image in whole levels, uint8 [height, width, 3]."""
    pixels = as_picture(style).pixels
    height, width = pixels.shape[:2]
    if height * width > MAX_STYLE_PIXELS:
        side = int(MAX_STYLE_PIXELS**0.5)
        pixels = resize(pixels, *working_size(height, width, side, "area"))
    return np.uint8(np.round(255.0 * pixels))


def _versions(folder: pathlib.Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def _check_version(folder: pathlib.Path, version: int | None) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{shown(folder)} is a file. Expected a folder, or a name that is free")
    if version is not None and version < 1:
        raise InputError(f"version is 1 or more. Received: {version}")
    if version in _versions(folder):
        raise InputError(f"{shown(folder)} has a version {version} already: leave --version out")


def _publish(temporary: pathlib.Path, folder: pathlib.Path, version: int | None) -> pathlib.Path:
    """Gives the folder its number; a server that watches sees a whole version or none."""
    while True:
        number = version or max(_versions(folder), default=0) + 1
        target = folder / str(number)
        try:
            os.rename(temporary, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            # Another export took the number meanwhile.
            _check_version(folder, version)
        else:
            return target
