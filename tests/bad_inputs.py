"""Makes files that are no good pictures: formats by kinds of damage, and what is no file at all.

python tests/bad_inputs.py FOLDER
"""

import io
import os
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image

FORMATS = {
    "jpg": ("JPEG", {"quality": 90}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "tif": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "avif": ("AVIF", {}),
}


def make(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Writes them all.

    Args:
      folder: Where to.

    Returns:
      The paths by what is wrong with them. Some decoders can make something of some of these; all the
      same nothing worse than a warning may come of them.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    paths = {}

    def add(name: str, data: bytes, suffix: str) -> None:
        paths[name] = folder / f"{name.replace(' ', '-')}.{suffix}"
        paths[name].write_bytes(data)

    for suffix, (format, options) in FORMATS.items():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format, **options)
        data = file.getvalue()
        for tenth in range(1, 10):
            add(f"{suffix} cut at {tenth} tenths", data[: len(data) * tenth // 10], suffix)
        generator = np.random.default_rng(1)
        for index in range(4):
            flipped = bytearray(data)
            # The header is where the harm is.
            for place in generator.integers(8, min(len(data), 200), 6):
                flipped[place] ^= 1 << generator.integers(8)
            add(f"{suffix} with flipped bits {index}", bytes(flipped), suffix)
        zeroed = data[:12] + bytes(len(data) - 12)
        add(f"{suffix} of zeros after its mark", zeroed, suffix)
        add(f"{suffix} that is text", b"I am no picture.\n" * 9, suffix)
        add(f"{suffix} that is empty", b"", suffix)
        add(f"{suffix} of one byte", data[:1], suffix)
    for width, height in ((65_000, 65_000), (2**31 - 1, 2**31 - 1), (0, 0), (1, 2**30)):
        add(f"png bomb of {width} x {height}", _png(width, height), "png")
        add(f"bmp bomb of {width} x {height}", _bmp(width, height), "bmp")
    add("tif with a loop", b"II*\0\x08\0\0\0" + b"\0\0" + struct.pack("<I", 8), "tif")
    for mode, size in (("L", (3, 3)), ("RGB", (1, 400)), ("RGBA", (400, 1)), ("1", (8, 8))):
        file = io.BytesIO()
        Image.new(mode, size).save(file, "PNG")
        add(f"too small {mode} of {size[0]} x {size[1]}", file.getvalue(), "png")
    paths["a folder"] = folder / "folder.png"
    paths["a folder"].mkdir()
    paths["a pipe"] = folder / "pipe.png"
    os.mkfifo(paths["a pipe"])
    paths["a device"] = pathlib.Path("/dev/null")
    paths["nothing"] = folder / "missing.png"
    paths["a link to itself"] = folder / "loop.png"
    paths["a link to itself"].symlink_to("loop.png")
    paths["a name too long"] = folder / ("x" * 300 + ".png")
    return paths


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    mark = b"\x89PNG\r\n\x1a\n"
    return mark + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _bmp(width: int, height: int) -> bytes:
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + sizes + bytes(200)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True)
    print(len(make(target)), "bad inputs in", target)
