"""Style transfer of a tf.data pipeline's pictures."""

from collections.abc import Sequence

import tensorflow as tf

from tf_style.embed.stylizer import Stylizer
from tf_style.errors import InputError
from tf_style.images.reading import ImageSource
from tf_style.transfer.devices import resolve_device


def stylize_dataset(
    dataset: tf.data.Dataset,
    style: ImageSource | Sequence[ImageSource],
    *,
    size: int | None = None,
    **settings,
) -> tf.data.Dataset:
    """Renders every picture of a dataset in a style.

    Args:
      dataset: Of pictures [height, width, 3], of any sizes, or batches of one size
        [batch, height, width, 3], which are optimised together; uint8, or floats in 0..1.
      style: As for `stylize`.
      size: What the longer side is resized to; None to keep each picture's own size.
      **settings: The other fields of `Settings`, but for those that make no sense in a graph. The
        device is the CPU, for that is where the functions of tf.data run: on a GPU, call a `Stylizer`
        for each element of the dataset.

    Returns:
      A dataset of the same structure, float32 in 0..1; the next picture is made ahead.

    Raises:
      InputError: If the dataset has another structure, or as `Stylizer` does.
    """
    spec = dataset.element_spec
    if not isinstance(spec, tf.TensorSpec):
        raise InputError(
            "The dataset has one dense tensor an element. Map it to its image first, and unbatch a "
            f"ragged batch. Received: {spec}"
        )
    is_batched = spec.shape.rank == 4
    if spec.shape.rank not in (3, 4) or not spec.shape[-1:].is_compatible_with([3]):
        raise InputError(
            "The dataset's elements are [height, width, 3] or [batch, height, width, 3]. "
            f"Received: shape={spec.shape}"
        )
    if not (spec.dtype == tf.uint8 or spec.dtype.is_floating):
        raise InputError(
            f"The dataset's elements are uint8, or floats in 0..1. Received: {spec.dtype.name}"
        )
    settings["device"] = settings.get("device") or "/CPU:0"
    if not resolve_device(settings["device"]).startswith("/CPU"):
        raise InputError(
            "The functions of tf.data run on the CPU: on a GPU, call a Stylizer for each element. "
            f"Received: device={settings['device']!r}"
        )
    stylizer = Stylizer(style, size=size, **settings)

    def render(contents: tf.Tensor) -> tf.Tensor:
        contents = tf.image.convert_image_dtype(contents, tf.float32)
        return stylizer(contents) if is_batched else stylizer(contents[tf.newaxis])[0]

    return dataset.map(render).prefetch(1)
