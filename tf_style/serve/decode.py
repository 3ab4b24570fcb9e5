"""Encoded pictures to pixels and back inside a graph, by stock ops, with limits and messages."""

from collections.abc import Callable

import tensorflow as tf

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 50_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# A PNG file's signature and the header with its size.
_HEADER_BYTES = 24


def decode(data: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
    """Decodes a picture, after its bytes and its pixels were found to be within the limits.

    Departures from `images.reading.read`: JPEG and PNG only, EXIF orientation and colour profiles are
    not applied, and 16 bits become 8.

    Args:
      data: A scalar string, the bytes of a file.
      name: A scalar string, what to call it in a message.

    Returns:
      float32 [height, width, 3], RGB, 0..1, on white where it is transparent.

    Raises:
      tf.errors.InvalidArgumentError: When run, if it is something else or too large; the message says
        which and why.
    """
    length = tf.strings.length(data)
    data = _require(
        data,
        (length >= _HEADER_BYTES, name, " is empty or cut short"),
        (length <= MAX_BYTES, name, f" is larger than {MAX_BYTES} bytes"),
    )
    is_png = tf.strings.substr(data, 0, len(_PNG)) == _PNG
    is_jpeg = tf.strings.substr(data, 0, len(_JPEG)) == _JPEG
    data = _require(data, (is_png | is_jpeg, name, " is neither a JPEG nor a PNG file"))
    size = tf.cond(is_png, lambda: _png_size(data), lambda: _jpeg_size(data))
    data = _require(
        data,
        (tf.reduce_all(size > 0), name, " is damaged"),
        # Divided, not multiplied: a header can claim 2**32 in each direction.
        (
            size[0] <= MAX_PIXELS // tf.maximum(size[1], 1),
            name,
            f" has more than {MAX_PIXELS} pixels",
        ),
    )
    pixels = tf.cond(
        is_png,
        lambda: _attempt(lambda data: tf.io.decode_png(data, channels=4), data, 4),
        lambda: _attempt(_decode_jpeg, data, 4),
    )
    pixels = _require(pixels, (tf.size(pixels) > 0, name, " is damaged"))
    pixels = tf.cast(pixels, tf.float32) / 255.0
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + (1.0 - alpha)


def encode(pixels: tf.Tensor) -> tf.Tensor:
    """The bytes of a PNG file.

    Args:
      pixels: [height, width, 3], 0..1.

    Returns:
      A scalar string.
    """
    return tf.io.encode_png(tf.image.convert_image_dtype(pixels, tf.uint8, saturate=True))


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.concat([pixels, tf.fill(tf.shape(pixels[..., :1]), tf.constant(255, tf.uint8))], axis=2)


def _png_size(data: tf.Tensor) -> tf.Tensor:
    octets = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.uint8), tf.int64)
    return tf.linalg.matvec(tf.reshape(octets, [2, 4]), tf.constant([2**24, 2**16, 2**8, 1], tf.int64))


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    def extract(data: tf.Tensor) -> tf.Tensor:
        return tf.io.extract_jpeg_shape(data, output_type=tf.int64)[:2]

    found = _first(extract, data, tf.zeros([2], tf.int64))
    return tf.ensure_shape(found, [2])


def _attempt(decoder: Callable[[tf.Tensor], tf.Tensor], data: tf.Tensor, channels: int) -> tf.Tensor:
    """What a decoder makes of the data; without a pixel where it fails."""
    found = _first(decoder, data, tf.zeros([0, 0, channels], tf.uint8))
    return tf.ensure_shape(found, [None, None, channels])


def _first(function: Callable[[tf.Tensor], tf.Tensor], data: tf.Tensor, otherwise: tf.Tensor):
    """The function's value, or another where it fails: a dataset is what can ignore an op's error."""
    dataset = tf.data.Dataset.from_tensors(data).map(function).ignore_errors()
    return dataset.reduce(otherwise, lambda _, value: value)


def _require(value: tf.Tensor, *conditions: tuple[tf.Tensor, tf.Tensor, str]) -> tf.Tensor:
    """The value, where all the conditions hold; the first that does not is the error's message."""
    for condition, name, text in conditions:
        check = tf.debugging.Assert(condition, [tf.strings.join([name, text])])
        with tf.control_dependencies([check] if check is not None else []):
            value = tf.identity(value)
    return value
