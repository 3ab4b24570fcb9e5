"""How much memory a student's picture takes, and which tiles fit. No TensorFlow here."""

from tf_style.errors import InputError
from tf_style.student.stored import StoredStudent
from tf_style.transfer.memory import BASE_BYTES, TILES_PX, limit_and_held
from tf_style.transfer.settings import Settings

# At the peak, for each pixel and channel of the first layer, and for each pixel beside that: the
# photograph, the picture, what is read and written. With 24 channels on a CPU both together are 14 to
# 15 bytes for each value in bfloat16 from 512 to 2048 pixels, and 26 to 34 in float32: measured, see
# benchmarks/student_serving.py.
BYTES_PER_VALUE = {"bfloat16": 14, "float32": 32}
BYTES_PER_PIXEL = 100
_GIB = 2**30


def estimate(
    student: StoredStudent, height: int, width: int, tile_px: int | None, precision: str
) -> int:
    """The most memory, in bytes, that a process takes where it makes a picture.

    Args:
      student: Who makes it.
      height: In pixels.
      width: In pixels.
      tile_px: A tile's side, or None for the picture as a whole.
      precision: Of the network, "float32" or "bfloat16".
    """
    at_once = height * width
    if tile_px is not None:
        at_once = min(at_once, (tile_px + 2 * student.shape.reach_px) ** 2)
    values = student.channels * at_once
    return BASE_BYTES + BYTES_PER_VALUE[precision] * values + BYTES_PER_PIXEL * height * width


def choose_tile(
    student: StoredStudent,
    height: int,
    width: int,
    settings: Settings,
    *,
    precision: str,
    device: str,
    checks: bool,
) -> int | None:
    """A tile's side in pixels, or None to make the picture as a whole.

    Args:
      student: Who makes it.
      height: In pixels.
      width: In pixels.
      settings: What they say, or with "auto" the largest that fits in memory.
      precision: Of the network, as from `resolve_precision`.
      device: As from `resolve_device`.
      checks: Whether to refuse a picture for which nothing fits.

    Raises:
      InputError: If nothing does.
    """
    limit, held = limit_and_held(settings, device)
    choices = (None, *TILES_PX)
    if settings.tile != "auto":
        choices = (None if settings.tile == "off" else settings.tile,)
    needed = [estimate(student, height, width, choice, precision) for choice in choices]
    for choice, each in zip(choices, needed, strict=True):
        if limit is None or each - held <= limit:
            return choice
    if checks and limit is not None:
        raise InputError(
            f"{width} x {height} pixels need about {needed[-1] / _GIB:.2f} GiB of memory in all, and "
            f"{(limit + held) / _GIB:.2f} GiB can be had: name a smaller --size"
            f"{', --tile auto' if settings.tile != 'auto' else ''} or --no-memory-check to go on"
        )
    return choices[-1]
