"""Encoded pictures to pixels and back inside a graph, by stock ops, with limits and messages."""

from collections.abc import Callable

import tensorflow as tf

from tf_style.serve import orientation

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 50_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# A PNG file's signature and the header with its size.
_HEADER_BYTES = 24
_CMYK = 4


_ONE_FILE = [tf.TensorSpec([], tf.string)] * 2


# Traced once, and in an exported graph there once, however often it is called.
@tf.function(input_signature=_ONE_FILE, autograph=False)
def decode(data: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
    """Decodes a picture, after its bytes and its pixels were found to be within the limits.

    Departures from `images.reading.read`: JPEG and PNG only, colour profiles are not applied, 16 bits
    become 8, and of the places for an orientation EXIF's own are read, in a PNG file before the pixels.

    Args:
      data: A scalar string, the bytes of a file.
      name: A scalar string, what to call it in a message.

    Returns:
      float32 [height, width, 3], RGB, 0..1, turned upright, on white where it is transparent.

    Raises:
      tf.errors.InvalidArgumentError: When run, if it is something else or too large; the message says
        which and why.
    """
    pixels = _decode(data, name)
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + (1.0 - alpha)


@tf.function(input_signature=_ONE_FILE, autograph=False)
def decode_mask(data: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
    """Decodes a mask; as `decode`, but that it must be grey and opaque.

    Returns:
      float32 [height, width, 1], 0..1, turned upright.
    """
    pixels = _decode(data, name)
    is_grey = tf.reduce_all(pixels[..., :3] == pixels[..., :1])
    is_opaque = tf.reduce_all(pixels[..., 3:] == 1.0)
    pixels = require(
        pixels,
        (is_opaque, name, " has transparency: masks are opaque"),
        (is_grey, name, " has colours: masks are grey"),
    )
    return pixels[..., :1]


@tf.function(input_signature=_ONE_FILE, autograph=False)
def _decode(data: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
    """float32 [height, width, 4] of a file, RGB and alpha, 0..1, turned upright."""
    length = tf.strings.length(data)
    data = require(
        data,
        (length >= _HEADER_BYTES, name, " is empty or cut short"),
        (length <= MAX_BYTES, name, f" is larger than {MAX_BYTES} bytes"),
    )
    is_png = tf.equal(tf.strings.substr(data, 0, len(_PNG)), _PNG)
    is_jpeg = tf.equal(tf.strings.substr(data, 0, len(_JPEG)), _JPEG)
    data = require(data, (is_png | is_jpeg, name, " is neither a JPEG nor a PNG file"))
    size = tf.cond(is_png, lambda: _png_size(data), lambda: _jpeg_size(data))
    data = require(
        data,
        (tf.reduce_all(size > 0), name, " is damaged"),
        # Divided, not multiplied: a header can claim 2**32 in each direction.
        (
            size[0] <= MAX_PIXELS // tf.maximum(size[1], 1),
            name,
            f" has more than {MAX_PIXELS} pixels",
        ),
    )
    pixels, exif = tf.cond(is_png, lambda: _decode_png(data), lambda: _decode_jpeg(data, size[2]))
    pixels = require(pixels, (tf.size(pixels) > 0, name, " is damaged"))
    pixels = orientation.turn_upright(pixels, orientation.orientation(exif))
    return tf.cast(pixels, tf.float32) / 255.0


def encode(pixels: tf.Tensor) -> tf.Tensor:
    """The bytes of a PNG file.

    Args:
      pixels: [height, width, 3], 0..1.

    Returns:
      A scalar string.
    """
    return tf.io.encode_png(tf.image.convert_image_dtype(pixels, tf.uint8, saturate=True))


def require(value: tf.Tensor, *conditions: tuple[tf.Tensor, tf.Tensor, str]) -> tf.Tensor:
    """The value, where all the conditions hold; the first that does not is the error's message.

    Args:
      value: Any tensor.
      *conditions: Each a scalar bool, and the two parts of its message, scalar strings.

    Returns:
      The value.
    """
    for condition, name, text in conditions:
        check = tf.debugging.Assert(condition, [tf.strings.join([name, text])])
        with tf.control_dependencies([check] if check is not None else []):
            value = tf.identity(value)
    return value


def _decode_png(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels uint8 [height, width, 4], none where it is damaged, and the EXIF data."""
    pixels = _attempt(lambda data: tf.io.decode_png(data, channels=4), data, 4)
    # TensorFlow gives opaque pixels of 1, 2 and 4 bits the largest number of so many bits.
    after_size = tf.strings.join([tf.strings.substr(data, 16, 9), b"\0"])
    bits = tf.cast(tf.io.decode_raw(after_size, tf.uint8)[8], tf.int32)
    filler = tf.cast(tf.bitwise.left_shift(1, tf.clip_by_value(bits, 1, 8)) - 1, tf.uint8)
    is_opaque = tf.reduce_all(pixels[..., 3] == filler)
    alpha = tf.where(is_opaque, tf.constant(255, tf.uint8), pixels[..., 3:])
    return tf.concat([pixels[..., :3], alpha], axis=2), orientation.search_png(data).exif


def _decode_jpeg(data: tf.Tensor, channels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Likewise."""
    found = orientation.search_jpeg(data)
    # Without Adobe's marker, TensorFlow takes 0 for no ink; `images.reading` and all that write CMYK
    # JPEG files take it for all of it, as the marker says.
    marked = tf.where(
        (channels == _CMYK) & ~found.is_adobe,
        tf.strings.join(
            [tf.strings.substr(data, 0, 2), orientation.ADOBE_SEGMENT, tf.strings.substr(data, 2, -1)]
        ),
        data,
    )
    return _attempt(_decode_rgb_jpeg, marked, 4), found.exif


def _decode_rgb_jpeg(data: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.concat([pixels, tf.fill(tf.shape(pixels[..., :1]), tf.constant(255, tf.uint8))], axis=2)


def _png_size(data: tf.Tensor) -> tf.Tensor:
    """Height and width in another order, and a number of channels that is not looked at."""
    octets = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.uint8), tf.int64)
    size = tf.linalg.matvec(tf.reshape(octets, [2, 4]), tf.constant([2**24, 2**16, 2**8, 1], tf.int64))
    return tf.concat([size, [4]], axis=0)


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    """Height, width and channels; 0 where it is damaged."""

    def extract(data: tf.Tensor) -> tf.Tensor:
        return tf.io.extract_jpeg_shape(data, output_type=tf.int64)

    return tf.ensure_shape(_first(extract, data, tf.zeros([3], tf.int64)), [3])


def _attempt(decoder: Callable[[tf.Tensor], tf.Tensor], data: tf.Tensor, channels: int) -> tf.Tensor:
    """What a decoder makes of the data; without a pixel where it fails."""
    found = _first(decoder, data, tf.zeros([0, 0, channels], tf.uint8))
    return tf.ensure_shape(found, [None, None, channels])


def _first(function: Callable[[tf.Tensor], tf.Tensor], data: tf.Tensor, otherwise: tf.Tensor):
    """The function's value, or another where it fails: a dataset is what can ignore an op's error."""
    dataset = tf.data.Dataset.from_tensors(data).map(function).ignore_errors()
    return dataset.reduce(otherwise, lambda _, value: value)
