"""How much memory a student's pictures and its training take; tiles that fit. No TensorFlow here."""

from tf_style.errors import InputError
from tf_style.student.plan import Plan, known
from tf_style.student.shape import MARGIN_PX
from tf_style.student.stored import StoredStudent
from tf_style.transfer.memory import BASE_BYTES, TILES_PX, limit_and_held
from tf_style.transfer.settings import Settings

# At the peak, for each pixel and channel of the first layer, and for each pixel beside that: the
# photograph, the picture, what is read and written. With 24 channels on a CPU both together are 14 to
# 15 bytes for each value in bfloat16 from 512 to 2048 pixels, and 26 to 34 in float32: measured, see
# benchmarks/student_serving.py.
BYTES_PER_VALUE = {"bfloat16": 14, "float32": 32}
BYTES_PER_PIXEL = 100
# Of a training: Python, TensorFlow, Keras and both networks; with that, for each pixel of a step's
# pieces, what the loss's network takes, and the student's for each channel of its first layer; or,
# before the first step, for each pixel of a style. Measured by the stage "memory" of
# benchmarks/student.py.
TRAINING_BASE_BYTES = 1170 * 2**20
LOSS_BYTES_PER_PIXEL = {"bfloat16": 900, "float32": 1500}
TRAINED_BYTES_PER_VALUE = {"bfloat16": 80, "float32": 130}
STYLE_BYTES_PER_PIXEL = {"bfloat16": 1500, "float32": 3300}
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
    values = student.channels * _at_once(student, height, width, tile_px)
    return BASE_BYTES + BYTES_PER_VALUE[precision] * values + BYTES_PER_PIXEL * height * width


def _at_once(student: StoredStudent, height: int, width: int, tile_px: int | None) -> int:
    """How many pixels the network sees at once."""
    at_once = (height + 2 * MARGIN_PX) * (width + 2 * MARGIN_PX)
    return at_once if tile_px is None else min(at_once, (tile_px + 2 * student.shape.reach_px) ** 2)


def check_at_once(
    student: StoredStudent, height: int, width: int, tile_px: int | None, *, count: int = 1
) -> None:
    """Refuses what TensorFlow would not make rightly.

    Args:
      student: As for `estimate`.
      height: Likewise.
      width: Likewise.
      tile_px: Likewise.
      count: How many such pictures the network sees at once.

    Raises:
      InputError: If the network would see more than `Shape.most_pixels`.
    """
    most = student.shape.most_pixels
    if count * _at_once(student, height, width, tile_px) > most:
        what = "as a whole" if tile_px is None else f"by tiles of {tile_px}"
        fits = (each for each in TILES_PX if _at_once(student, height, width, each) <= most)
        fitting = next(fits, TILES_PX[-1])
        raise InputError(
            f"{count} x {width} x {height} pixels {what} are too many for a network of "
            f"{student.channels} channels: make each by tiles of {fitting} or less"
        )


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
    choices: tuple[int | None, ...] = (None, *TILES_PX)
    if settings.tile != "auto":
        choices = (None if settings.tile == "off" else settings.tile,)
        check_at_once(student, height, width, choices[0])
    most = student.shape.most_pixels
    choices = tuple(each for each in choices if _at_once(student, height, width, each) <= most)
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


def training_estimate(plan: Plan, precision: str, *, preview_px: int = 0, photographs: int = 0) -> int:
    """The most memory, in bytes, that a process takes where it trains a student.

    Args:
      plan: With what was left open chosen, as from `Plan.on`.
      precision: Of both networks, "float32" or "bfloat16".
      preview_px: How many pixels the previews have.
      photographs: What the photographs take, in bytes.
    """
    batch, crop, channels = known(plan.batch), known(plan.crop), known(plan.channels)
    of_loss = LOSS_BYTES_PER_PIXEL[precision] * batch * crop**2
    # Of that, the blocks have a third where there are five of them.
    of_student = TRAINED_BYTES_PER_VALUE[precision] * channels * (10 + plan.blocks) // 15
    of_student *= batch * (crop + 2 * MARGIN_PX) ** 2
    of_style = STYLE_BYTES_PER_PIXEL[precision] * plan.size**2
    of_preview = (BYTES_PER_VALUE[precision] * channels + BYTES_PER_PIXEL) * preview_px
    return TRAINING_BASE_BYTES + photographs + max(of_style, of_loss + of_student, of_preview)


def check_training(
    plan: Plan, *, precision: str, preview_px: int, photographs: int, device: str
) -> None:
    """Refuses a training for which the memory does not suffice.

    Args:
      plan: As for `training_estimate`.
      precision: Likewise.
      preview_px: Likewise.
      photographs: Likewise. They are in the host's memory.
      device: As from `resolve_device`.

    Raises:
      InputError: If it does not.
    """
    limit, held = limit_and_held(Settings(), device)
    of_photographs = 0 if device.startswith("/GPU") else photographs
    needed = training_estimate(plan, precision, preview_px=preview_px, photographs=of_photographs)
    if limit is not None and needed - held > limit:
        raise InputError(
            f"Pieces of {plan.crop} pixels, {plan.batch} a step, and styles of {plan.size} need about "
            f"{needed / _GIB:.2f} GiB of memory in all, and {(limit + held) / _GIB:.2f} GiB can be "
            "had: name a smaller --crop, --batch, --channels or --size, or --no-memory-check to go on"
        )
