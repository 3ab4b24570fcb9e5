"""How much memory a student's picture takes, and which tiles fit. No TensorFlow here."""

from tf_style import host
from tf_style.errors import InputError
from tf_style.student.stored import StoredStudent
from tf_style.transfer.memory import BASE_BYTES, HEADROOM, TILES_PX
from tf_style.transfer.settings import Settings

# At the peak, for each pixel and channel of the first layer: activations of that many channels before
# and after a layer and its normalisation, in float32. Reasoned, not measured yet: what
# benchmarks/student.py finds is to take its place.
BYTES_PER_VALUE = 20
# And of each pixel for the photograph, the picture and what is read and written.
BYTES_PER_PIXEL = 100
_GIB = 2**30


def estimate(student: StoredStudent, height: int, width: int, tile_px: int | None) -> int:
    """The most memory, in bytes, that a process takes where it makes a picture.

    Args:
      student: Who makes it.
      height: In pixels.
      width: In pixels.
      tile_px: A tile's side, or None for the picture as a whole.
    """
    at_once = height * width
    if tile_px is not None:
        at_once = min(at_once, (tile_px + 2 * student.shape.reach_px) ** 2)
    values = student.channels * at_once
    return BASE_BYTES + BYTES_PER_VALUE * values + BYTES_PER_PIXEL * height * width


def choose_tile(
    student: StoredStudent, height: int, width: int, settings: Settings, *, checks: bool
) -> int | None:
    """A tile's side in pixels, or None to make the picture as a whole.

    Args:
      student: Who makes it.
      height: In pixels.
      width: In pixels.
      settings: What they say, or with "auto" the largest that fits in memory.
      checks: Whether to refuse a picture for which nothing fits.

    Raises:
      InputError: If nothing does.
    """
    if settings.tile != "auto":
        return None if settings.tile == "off" else settings.tile
    limit = host.available()
    if limit is not None:
        limit = int(limit * (1 - HEADROOM)) + host.resident()
    if settings.memory is not None:
        own = int(settings.memory * _GIB)
        limit = own if limit is None else min(limit, own)
    for choice in (None, *TILES_PX):
        if limit is None or estimate(student, height, width, choice) <= limit:
            return choice
    if checks and limit is not None:
        needed = estimate(student, height, width, TILES_PX[-1])
        raise InputError(
            f"{width} x {height} pixels need about {needed / _GIB:.2f} GiB of memory in all, and "
            f"{limit / _GIB:.2f} GiB can be had: name a smaller --size, or --no-memory-check to go on"
        )
    return TILES_PX[-1]
