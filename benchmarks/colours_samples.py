"""What generated picture files are made of: samples, profiles, and the case that a file is."""

import dataclasses
import io
import struct

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 16, 24
POWER = 563 / 256  # What a profile's 8.8 bits make of 2.2, and Adobe RGB's.
D65 = (0.3127, 0.3290)
SRGB = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3 = (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT2020 = (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)


@dataclasses.dataclass
class Case:
    """A file: its format, a line on what it is, its bytes, and what its colours are said to be.

    Attributes:
      numbers: Primaries and a curve, a power, "sRGB" or "BT.709"; or None, which is sRGB.
      truth: Or [height, width, 1, 3 or 4 and alpha] in 0..1, where no other program reads the file.
    """

    format: str
    what: str
    data: bytes
    numbers: tuple[tuple[float, ...], float | str] | None = None
    truth: np.ndarray | None = None


def samples(channels: int, bits: int, seed: int = 0) -> np.ndarray:
    """Ramps to both ends of the range, other in each channel, and some noise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    ramps = [x / (WIDTH - 1), y / (HEIGHT - 1), (x + y) / (WIDTH + HEIGHT - 2), 1 - x / (WIDTH - 1)]
    values = np.stack([ramps[index % 4] for index in range(channels)], axis=-1)
    values[:4] = np.random.default_rng(seed).random((4, WIDTH, channels))
    return np.rint(values * (2**bits - 1)).astype(np.uint32)


def profile(primaries: tuple[float, ...] | None, gamma: float) -> bytes:
    """An ICC profile of version 2: matrix and curves, or of grey."""

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *np.rint(values * 65536).astype(int).tolist())

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = np.array([0.9642, 1.0, 0.8249])
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)}
    tags |= {b"wtpt": xyz(white), b"cprt": b"text" + bytes(4) + b"none\0"}
    if primaries:
        points = np.reshape(primaries, (4, 2))
        points = np.column_stack([points, 1 - points.sum(axis=1)])
        cones = np.array(
            [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
        )
        own = points[0] / points[0, 1]
        matrix = points[1:].T * np.linalg.solve(points[1:].T, own)
        matrix = np.linalg.inv(cones) @ np.diag((cones @ white) / (cones @ own)) @ cones @ matrix
        tags |= {
            tag: xyz(each) for tag, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)
        }
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    else:
        tags[b"kTRC"] = curve
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s", start + len(body), bytes(4), 0x02200000, b"mntr")
    head += (b"RGB " if primaries else b"GRAY") + b"XYZ " + struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    return (head + b"acsp" + bytes(28) + xyz(white)[8:]).ljust(128, b"\0") + table + body


def packed(values: np.ndarray, bits: int, order: str) -> bytes:
    """Rows of samples of any number of bits, each from a whole byte on."""
    height = len(values)
    if bits in (16, 32):
        return values.astype(f"{order}u{bits // 8}").tobytes()
    rows = values.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1, dtype=np.uint32) & 1
    return np.packbits(rows.reshape(height, -1).astype(np.uint8), axis=1).tobytes()


def encode(image: Image.Image, format: str, **options) -> bytes:
    """A file of Pillow's."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()
