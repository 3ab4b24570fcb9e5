"""How much memory a transfer takes, and how much there is. Imports no TensorFlow."""

import functools
import math
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Iterable

from tf_style.errors import InputError
from tf_style.network.architecture import ConvLayer, find_layer, layers_up_to
from tf_style.objective.tile_plan import halo_px
from tf_style.transfer.prepare import Inputs
from tf_style.transfer.settings import Settings

# Measured, as the next one is, by the peak resident size of runs at 256 to 2048 pixels in both
# precisions: Python and TensorFlow with the graph, before any picture.
BASE_BYTES = 730 * 2**20
# Of the activations and gradients that are counted below, how many are there at once.
SHARE_AT_ONCE = 0.92
# The weights are there as TensorFlow's, and packed for either direction with 16 numbers for 9.
FORMS_OF_WEIGHTS = 2 + 2 * 16 / 9
# Images of float32 that L-BFGS holds beside two a pair: its position, gradient, direction, a trial's
# position and gradient, and one that is being computed.
IMAGES_BESIDE_PAIRS = 6
# Its position, two moments, the gradient, and what is computed of them.
IMAGES_OF_ADAM = 8
# Copies that TensorFlow Probability's L-BFGS holds of its pairs, measured.
COPIES_OF_TFP = 11
# And with tiles: the content and the style, which are cut up on the host, the image and its gradient.
IMAGES_BESIDE_TILES = 4
# Few, large tiles: what a tile's halo costs is in proportion to 1 / side.
RAY_TILE_PX = 512
TILES_PX = (2048, 1536, 1024, 768, 512, 384, 256)
# Of a limited address space, what is reserved and never used: stacks and arenas of the threads that
# TensorFlow is yet to start, some for all and some for each core; measured on two cores.
RESERVED_BYTES = 384 * 2**20
RESERVED_BYTES_PER_CORE = 80 * 2**20
# And what importing TensorFlow takes of it: 1450 MiB measured, with a reserve.
ADDRESSES_OF_TENSORFLOW = 1500 * 2**20
# Of what there is, the part that others may take meanwhile.
RESERVE = 0.1
_GIB = 2**30


def estimate(inputs: Inputs, precision: str, *, factor: float = 1.0, tile_px: int | None = None) -> int:
    """The most memory, in bytes, that a process takes that makes this transfer on the CPU.

    Args:
      inputs: As from `prepare`.
      precision: Of the network, "float32" or "bfloat16".
      factor: On the number of pixels, to ask about another size.
      tile_px: A tile's side, or None for the picture as a whole.

    Returns:
      Bytes. Within 15 percent of the peak resident size from 256 to 2048 pixels, measured.
    """
    item_bytes = {"float32": 4, "bfloat16": 2}[precision]
    preset = inputs.preset
    pixels = factor * inputs.height * inputs.width
    layers = layers_up_to(preset.layers)
    # The rectifications' gradients read every activation; a Gram matrix's comes with its loss, forward.
    kept = _values_per_pixel(layers) + _values_per_pixel(map(find_layer, preset.style_layers))
    # Going back, a convolution holds the gradient at its output and at its input.
    moving = 2 * max(_values_per_pixel([layer]) for layer in layers)
    at_once = math.inf if tile_px is None else (tile_px + 2 * halo_px(preset.layers)) ** 2
    evaluation = SHARE_AT_ONCE * item_bytes * (kept + moving) * min(pixels, at_once)
    # A target is computed forward only, but its picture may be the larger one.
    style_pixels = factor * max((style[..., 0].size for style in inputs.levels[-1].styles), default=0)
    style_at_once = min(style_pixels, at_once)
    targets = SHARE_AT_ONCE * item_bytes * _values_per_pixel(layers) * style_at_once
    images = _optimizer_images(inputs.settings)
    if tile_px is not None:
        images += IMAGES_BESIDE_TILES
    optimizer = images * 3 * 4 * pixels
    weights = FORMS_OF_WEIGHTS * item_bytes * sum(kernel.size for kernel, _ in inputs.weights.values())
    return int(BASE_BYTES + weights + max(evaluation + optimizer, targets))


def choose_tile(inputs: Inputs, precision: str, device: str) -> int | None:
    """A tile's side in pixels, or None to evaluate the picture as a whole.

    Args:
      inputs: As from `prepare`.
      precision: Of the network.
      device: As from `resolve_device`.

    Returns:
      What the settings say, or with "auto" the largest that fits in memory; where nothing does, the
      smallest, which `check` refuses.
    """
    tile = inputs.settings.tile
    if inputs.settings.ray is not None and tile == "auto":
        # The workers' memory is not known here; this side leaves even small ones room.
        return RAY_TILE_PX
    if tile == "off":
        return None
    if tile != "auto":
        return tile
    limit, held = _limit_and_held(inputs, device)
    for choice in (None, *TILES_PX):
        if limit is None or estimate(inputs, precision, tile_px=choice) - held <= limit:
            return choice
    return TILES_PX[-1]


def check(inputs: Inputs, precision: str, device: str) -> None:
    """Refuses a transfer that would not fit.

    Args:
      inputs: As from `prepare`.
      precision: Of the network.
      device: As from `resolve_device`.

    Raises:
      InputError: It says what would fit.
    """
    limit, held = _limit_and_held(inputs, device)
    tile_px = choose_tile(inputs, precision, device)
    needed = estimate(inputs, precision, tile_px=tile_px)
    if limit is None or needed - held <= limit:
        return
    factor = 1.0
    while factor > 1e-4 and (
        estimate(inputs, precision, factor=factor, tile_px=tile_px) - held > limit
    ):
        factor *= 0.95
    size = int(inputs.settings.size * factor**0.5)
    advice = f"--size {size} would fit" if factor > 1e-4 else "nothing would fit"
    raise InputError(
        f"{inputs.width} x {inputs.height} pixels in {precision} need about {needed / _GIB:.2f} GiB of "
        f"memory in all, and {(limit + held) / _GIB:.2f} GiB can be had: {advice}, or --force to go on"
    )


def check_import() -> None:
    """Refuses to import TensorFlow where its address space is limited to less than that takes.

    Where it is imported already there is nothing to refuse.

    Raises:
      InputError: It says what there is.
    """
    if "tensorflow" in sys.modules:
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    left = limit - _status("VmSize")
    if limit != resource.RLIM_INFINITY and left < ADDRESSES_OF_TENSORFLOW:
        raise InputError(
            f"TensorFlow alone takes about {ADDRESSES_OF_TENSORFLOW / _GIB:.2f} GiB of memory in all, "
            f"and {left / _GIB:.2f} GiB can be had: raise this process's limit (ulimit -v)"
        )


def _limit_and_held(inputs: Inputs, device: str) -> tuple[int | None, int]:
    """What can still be taken, None where nobody knows, and what of the estimate is taken already."""
    # On a GPU the process's own part stays in the host's memory; here it has part of what it needs.
    is_gpu = device.startswith("/GPU")
    held = BASE_BYTES if is_gpu else _resident()
    limit = _gpu_free(device) if is_gpu else available()
    if limit is not None:
        limit = int(limit * (1 - RESERVE))
    if inputs.settings.memory is not None:
        own = int(inputs.settings.memory * _GIB) - held
        limit = own if limit is None else min(limit, own)
    return limit, held


def available() -> int | None:
    """Bytes that this process can still take: of the machine, its control group, its own limit.

    Returns:
      The least of what can be found out, or None if nothing can.
    """
    found = [*_machine_available(), *_group_available(), *_own_available()]
    return max(0, min(found)) if found else None


def address_space() -> float:
    """Bytes of addresses that this process can have in all and fill; infinite if nobody knows."""
    left = available()
    return math.inf if left is None else _status("VmSize") + left


def _machine_available() -> Iterable[int]:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _group_available() -> Iterable[int]:
    """Of each control group that this process is in, version 2 and 1, up to the root."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = pathlib.Path("/sys/fs/cgroup" if not controllers else "/sys/fs/cgroup/memory")
        names = ("memory.max", "memory.current", "inactive_file")
        if controllers:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        folder = root / path.strip("/")
        # Inside a container the path may be the host's, and the group mounted at the root.
        for place in {root, folder, *(parent for parent in folder.parents if root in parent.parents)}:
            limit, usage = (_number(place / name) for name in names[:2])
            if limit is None or usage is None:
                continue
            # What was read from files is given up when it is needed.
            cached = [line.split() for line in _lines(place / "memory.stat")]
            usage -= sum(int(value) for name, value in cached if name == names[2])
            yield limit - usage


def _own_available() -> Iterable[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        reserved = RESERVED_BYTES + RESERVED_BYTES_PER_CORE * (os.cpu_count() or 1)
        yield limit - _status("VmSize") - reserved


def _resident() -> int:
    return _status("VmRSS")


def _status(field: str) -> int:
    for line in _lines("/proc/self/status"):
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    return 0


@functools.cache  # TensorFlow takes it all then, and gives it to whatever this process does next.
def _gpu_free(device: str) -> int | None:
    """As NVIDIA's own tool says, before TensorFlow takes it all."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    index = device.rpartition(":")[2]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        number = visible.split(",")[int(index)] if visible else index
        done = subprocess.run([*command, "-i", number], capture_output=True, text=True, check=True)
        return int(done.stdout) * 2**20
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None  # A GPU of another make; TensorFlow's own error would come.


def _number(path: pathlib.Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lines(path: str | pathlib.Path) -> list[str]:
    try:
        return pathlib.Path(path).read_text().splitlines()
    except OSError:
        return []


def _optimizer_images(settings: Settings) -> float:
    """How many images of float32 the optimiser's state takes."""
    if settings.optimizer == "adam":
        return IMAGES_OF_ADAM
    if settings.optimizer == "tfp":
        return 2 * settings.num_pairs * COPIES_OF_TFP + IMAGES_BESIDE_PAIRS
    return 2 * settings.num_pairs * (0.5 if settings.pair_precision == "bfloat16" else 1) + (
        IMAGES_BESIDE_PAIRS
    )


def _values_per_pixel(layers: Iterable[ConvLayer]) -> float:
    return sum(layer.channels / layer.stride**2 for layer in layers)
