"""The photographs that a student learns from, and the pieces of them that each step sees.

Which pieces those are follows from the seed and the step's number alone, so that a training that goes
on sees what it would have seen. No TensorFlow here.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import os
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tf_style import host
from tf_style.errors import InputError
from tf_style.files import reason_of, shown
from tf_style.images.picture import Picture, resize, working_size
from tf_style.images.reading import ImageSource

# With fewer, a student learns these by heart.
LEAST = 8
# Of what is kept of them in memory.
MAX_BYTES = 2**30
# Free for each that is read at once: 100 megapixels take so much, decoded and once more to be resized.
BYTES_TO_READ = 2 * 2**30
# Of its sides: the shorter one is enlarged to the training's size, and memory is finite.
MAX_ASPECT = 8
# Sides of a piece, as multiples of a crop, before it is resized: photographs come at many scales.
LARGEST_PIECE = 2.0
# Brightness and contrast of pieces are changed by up to this part, each channel's by half of it.
JITTER = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class Photographs:
    """Photographs in memory.

    Attributes:
      pixels: Each uint8 [height, width, 3].
    """

    pixels: tuple[NDArray[np.uint8], ...]

    @property
    def sha256(self) -> str:
        """Of all pixels and shapes."""
        found = hashlib.sha256()
        for each in self.pixels:
            found.update(repr(each.shape).encode() + each.tobytes())
        return found.hexdigest()

    def batch(self, step: int, *, seed: int, crop: int, size: int) -> NDArray[np.float32]:
        """The pieces of one step.

        Args:
          step: Its number, from 0.
          seed: Of the whole training.
          crop: A piece's side in pixels, at most that of the smallest photograph.
          size: How many pieces.

        Returns:
          float32 [size, crop, crop, 3], 0..1.
        """
        random = np.random.default_rng((seed, step))
        return np.stack(
            [self._piece(self._index(step * size + place, seed), crop, random) for place in range(size)]
        )

    def _index(self, number: int, seed: int) -> int:
        """Which photograph the piece of that number is of: all of them come before one comes again."""
        count = len(self.pixels)
        round_, place = divmod(number, count)
        return int(np.random.default_rng((seed, round_, count)).permutation(count)[place])

    def _piece(self, index: int, crop: int, random: np.random.Generator) -> NDArray[np.float32]:
        pixels = self.pixels[index]
        height, width = pixels.shape[:2]
        side = crop * random.uniform(1.0, min(LARGEST_PIECE, min(height, width) / crop))
        top, left = random.uniform(0.0, height - side), random.uniform(0.0, width - side)
        box = (left, top, left + side, top + side)
        piece = Image.fromarray(pixels).resize((crop, crop), Image.Resampling.LANCZOS, box=box)
        made = np.asarray(piece, np.float32) / np.float32(255)
        if random.random() < 0.5:
            made = made[:, ::-1]
        contrast, *gains = 1.0 + JITTER * random.uniform(-1.0, 1.0, 4) * (1.0, 0.5, 0.5, 0.5)
        brightness = JITTER * random.uniform(-0.5, 0.5)
        made = ((made - 0.5) * contrast + 0.5 + brightness) * np.asarray(gains)
        return np.clip(made, 0.0, 1.0).astype(np.float32)


def read_photographs(
    sources: Sequence[ImageSource],
    *,
    size: int,
    seed: int,
    read: Callable[[ImageSource], Picture],
) -> Photographs:
    """Reads photographs; those that cannot be read are left out, with one warning for all of them.

    Args:
      sources: Paths, or what else `read` takes.
      size: Of the training. A photograph's shorter side is kept up to twice as long; one that is
        shorter than this is enlarged to it.
      seed: It chooses among more photographs than are kept.
      read: Turns each source into a picture.

    Raises:
      InputError: If fewer than `LEAST` can be read.
    """
    if len(sources) < LEAST:
        raise InputError(
            f"A student takes {LEAST} photographs or more to learn from. Received: {len(sources)}"
        )

    def attempt(source: ImageSource) -> NDArray[np.uint8] | InputError:
        try:
            name = shown(source) if isinstance(source, str | os.PathLike) else "A photograph"
            return fitted(read(source), size, name)
        except InputError as error:
            return error

    order = np.random.default_rng((seed, len(sources))).permutation(len(sources))
    kept: dict[int, NDArray[np.uint8]] = {}
    unread: list[InputError] = []
    held = 0
    readers, left = _readers(), iter(order)
    waiting: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(readers) as pool:
        try:
            while True:
                # While one takes long, no more than a few are made ready behind it.
                for index in itertools.islice(left, 2 * readers - len(waiting)):
                    waiting.append((index, pool.submit(attempt, sources[index])))
                if not waiting:
                    break
                index, future = waiting.popleft()
                found = future.result()
                if isinstance(found, InputError):
                    unread.append(found)
                    continue
                kept[index] = found
                held += found.nbytes
                if held >= MAX_BYTES:
                    break
        finally:  # Nor does Ctrl-C wait for those that are not begun.
            pool.shutdown(cancel_futures=True)
    if len(kept) < LEAST:
        reason = f"; {unread[0]}" if unread else ""
        raise InputError(
            f"A student takes {LEAST} photographs or more to learn from. Received: {len(kept)} that "
            f"can be read{reason}"
        )
    if unread:
        warnings.warn(
            f"{len(unread)} of {len(sources)} photographs are left out: {unread[0]}"
            + (", and others" if len(unread) > 1 else ""),
            UserWarning,
            stacklevel=2,
        )
    return Photographs(tuple(kept[index] for index in sorted(kept)))


def _readers() -> int:
    """How many photographs are read at once: on many cores memory would be short."""
    free = host.available()
    cores = os.cpu_count() or 1
    return cores if free is None else max(1, min(cores, free // BYTES_TO_READ))


def find_photographs(folders: Sequence[str]) -> list[str]:
    """The files of folders and of those in them, linked ones too, but for hidden ones; each once.

    Raises:
      InputError: If one is no folder, cannot be read, or holds none.
    """
    found: dict[str, str] = {}
    for folder in folders:
        inside = _inside(folder)
        if not inside:
            raise InputError(f"{shown(folder)} is no folder with photographs.")
        for path in inside:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _inside(folder: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{shown(error.filename)} cannot be read: {reason_of(error)}.")

    found: list[str] = []
    seen: set[str] = set()
    is_there = os.path.isdir(folder)
    for place, inner, names in os.walk(folder, onerror=refuse if is_there else None, followlinks=True):
        # A link may lead to a folder around it.
        if (real := os.path.realpath(place)) in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = [name for name in inner if not name.startswith(".")]
        # Folders before links to them, and always in one order: it is part of what a training is.
        inner.sort(key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        found += [os.path.join(place, name) for name in names if not name.startswith(".")]
    return sorted(found)


def fitted(picture: Picture, size: int, name: str) -> NDArray[np.uint8]:
    """In whole levels, at a shorter side of `size` to `LARGEST_PIECE` times that.

    Raises:
      InputError: If it is too narrow.
    """
    shorter, longer = sorted((picture.height, picture.width))
    if longer > MAX_ASPECT * shorter:
        raise InputError(
            f"{name} is too narrow: a photograph to learn from is at most {MAX_ASPECT} times as long "
            f"as wide. Received: {picture.width} x {picture.height}"
        )
    side = max(size, min(int(LARGEST_PIECE * size), shorter))
    sides = working_size(picture.height, picture.width, side, "short")
    return np.round(255.0 * resize(picture.pixels, *sides)).astype(np.uint8)
