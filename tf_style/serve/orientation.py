"""The EXIF orientation of JPEG and PNG files inside a graph, by stock ops.

References: CIPA DC-008 (Exif 3.0), sections 4.5 and 4.6; ITU-T T.81, annex B; PNG specification (third
edition), section 5.3 and 11.3.4.5.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# More than files have: 32 MiB are half as many segments of 64 KiB. A hostile one costs little.
_MAX_STEPS = 1024
_TAG, _SHORT, _LONG = 0x0112, 3, 4
# What CMYK files have from Adobe's programs, without a transform of their colours.
ADOBE_SEGMENT = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
# Of a JPEG file's first bytes, and of a PNG file's.
_MARK_BYTES, _SIGNATURE_BYTES = 2, 8
# Of a segment's or a chunk's beginning.
_LOOKED_AT = 16


class Found(NamedTuple):
    """What was found in a file before its pixels.

    Attributes:
      next: int64, where to look next; negative at the end of the search.
      exif: A scalar string, a TIFF file with the EXIF; empty where there is none.
      is_adobe: bool, whether Adobe's marker is there.
    """

    next: tf.Tensor
    exif: tf.Tensor
    is_adobe: tf.Tensor


def search_jpeg(data: tf.Tensor) -> Found:
    """Looks through the segments of a JPEG file, a scalar string, up to its first scan."""

    def look(at: tf.Tensor, found: Found) -> Found:
        marker, length = _octets(data, at, 2), _number(_octets(data, at + 2, 2), 2)
        is_fill = tf.reduce_all(marker == 0xFF)
        is_segment = (marker[0] == 0xFF) & (marker[1] >= 0xC0) & (length >= 2)
        # A scan, and markers that stand alone, which none does before it.
        is_last = ((marker[1] >= 0xD0) & (marker[1] <= 0xDA)) | ~is_segment
        is_exif = (marker[1] == 0xE1) & tf.equal(tf.strings.substr(data, at + 4, 6), b"Exif\0\0")
        is_adobe = (marker[1] == 0xEE) & tf.equal(tf.strings.substr(data, at + 4, 5), b"Adobe")
        exif = tf.strings.substr(data, at + 10, tf.maximum(length - 8, 0))
        after = tf.where(is_fill, at + 1, tf.where(is_last, tf.constant(-1, tf.int64), at + 2 + length))
        return Found(after, _first(found.exif, is_exif, exif), found.is_adobe | is_adobe)

    return _search(data, _MARK_BYTES, look)


def search_png(data: tf.Tensor) -> Found:
    """Looks through the chunks of a PNG file, a scalar string, up to its pixels."""

    def look(at: tf.Tensor, found: Found) -> Found:
        length, name = _number(_octets(data, at, 4), 4), tf.strings.substr(data, at + 4, 4)
        exif = tf.strings.substr(data, at + 8, length)
        after = tf.where(tf.equal(name, b"IDAT"), tf.constant(-1, tf.int64), at + 12 + length)
        return Found(after, _first(found.exif, tf.equal(name, b"eXIf"), exif), found.is_adobe)

    return _search(data, _SIGNATURE_BYTES, look)


def orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation that EXIF data tell.

    Args:
      exif: A scalar string, as in `Found`; whatever it holds is no error.

    Returns:
      A scalar int64, 1 to 8; 1, upright, where it is not told.
    """
    octets = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    size = tf.size(octets, tf.int64)
    byte_order = tf.strings.substr(exif, 0, 4)
    is_big = tf.equal(byte_order, b"MM\0*")
    is_known = (is_big | tf.equal(byte_order, b"II*\0")) & (size >= 14)

    def number(octets: tf.Tensor, first: int | tf.Tensor, count: int) -> tf.Tensor:
        octets = octets[..., first : first + count]
        return _number(tf.where(is_big, octets, tf.reverse(octets, [-1])), count)

    def look() -> tf.Tensor:
        start = tf.minimum(number(octets, 4, 4), size - 2)
        count = tf.minimum(number(octets, start, 2), (size - start - 2) // 12)
        entries = tf.reshape(octets[start + 2 : start + 2 + 12 * count], [count, 12])
        tag, kind, amount = (number(entries, *place) for place in ((0, 2), (2, 2), (4, 4)))
        value = tf.where(kind == _SHORT, number(entries, 8, 2), number(entries, 8, 4))
        is_there = (tag == _TAG) & ((kind == _SHORT) | (kind == _LONG)) & (amount == 1)
        return tf.reduce_max(tf.where(is_there, value, 0))

    found = tf.cond(is_known, look, lambda: tf.constant(0, tf.int64))
    return tf.where((found >= 1) & (found <= 8), found, 1)


def turn_upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors a picture [height, width, channels] of an orientation from 1 to 8."""

    def turn() -> tf.Tensor:
        turned = tf.cond(
            orientation >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: tf.identity(pixels)
        )
        for axis, mirrored in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
            is_mirrored = tf.reduce_any(orientation == tf.constant(mirrored, tf.int64))
            turned = _mirrored(turned, axis, is_mirrored)
        return turned

    return tf.cond(orientation == 1, lambda: tf.identity(pixels), turn)


def _mirrored(pixels: tf.Tensor, axis: int, is_mirrored: tf.Tensor) -> tf.Tensor:
    return tf.cond(is_mirrored, lambda: tf.reverse(pixels, [axis]), lambda: tf.identity(pixels))


def _search(data: tf.Tensor, start: int, look: Callable[[tf.Tensor, Found], Found]) -> Found:
    length = tf.cast(tf.strings.length(data), tf.int64)
    return tf.while_loop(
        lambda found: (found.next >= 0) & (found.next + _LOOKED_AT <= length),
        lambda found: (look(found.next, found),),
        (Found(tf.constant(start, tf.int64), tf.constant(b""), tf.constant(False)),),
        maximum_iterations=_MAX_STEPS,
    )[0]


def _first(earlier: tf.Tensor, is_there: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.where(is_there & tf.equal(earlier, b""), value, earlier)


def _octets(data: tf.Tensor, at: tf.Tensor, count: int) -> tf.Tensor:
    octets = tf.io.decode_raw(tf.strings.substr(data, at, tf.constant(count, tf.int64)), tf.uint8)
    return tf.ensure_shape(tf.cast(octets, tf.int64), [count])


def _number(octets: tf.Tensor, count: int) -> tf.Tensor:
    """Unsigned numbers, int64 [...], of octets [..., count], the highest first."""
    return tf.reduce_sum(octets * [256**power for power in reversed(range(count))], axis=-1)
