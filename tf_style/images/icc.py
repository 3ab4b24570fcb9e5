"""ICC profiles that are a matrix and three curves, in floats: Pillow converts 8 bits only.

Reference: ICC.1:2022, sections 9.2, 10.6, 10.18, 10.31 and F.3.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Curve = Callable[[NDArray[Any]], NDArray[Any]]
# The parameters of each type of parametric curve, in the order of the type that has all of them.
_PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}


def matrix_and_curves(profile: bytes) -> tuple[NDArray[np.float64], list[Curve]] | None:
    """What turns encoded red, green and blue in 0..1 into XYZ under D50.

    Returns:
      The matrix [3, 3] from linear light, and each channel's curve to it; None for a profile that has
      tables, or another colour space.

    Raises:
      ValueError: If it is damaged.
    """
    if profile[16:24] != b"RGB XYZ ":
        return None
    try:
        tags = {}
        (count,) = struct.unpack_from(">I", profile, 128)
        for start in range(132, 132 + 12 * min(count, 1000), 12):
            name, offset, length = struct.unpack_from(">4sII", profile, start)
            tags[name] = profile[offset : offset + length]
        if b"A2B0" in tags or b"A2B1" in tags:
            return None
        columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
    except (struct.error, KeyError) as error:
        raise ValueError("it is damaged") from error
    return np.array(columns).T / 65536, curves


def _curve(tag: bytes) -> Curve:
    kind, _, count, _ = struct.unpack_from(">4sIHH", tag)
    if kind == b"para":
        if count not in _PARAMETERS:
            raise ValueError(f"its curve is of the unknown type {count}")
        names = _PARAMETERS[count]
        given = [value / 65536 for value in struct.unpack_from(f">{len(names)}i", tag, 12)]
        return _parametric(count, dict(zip(names, given, strict=True)))
    if kind != b"curv":
        raise ValueError("its curve is of an unknown kind")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return lambda values: values
    if count == 1:
        gamma = struct.unpack_from(">H", tag, 12)[0] / 256
        return lambda values: values**gamma
    table = np.frombuffer(tag, ">u2", count, 12) / 65535
    places = np.linspace(0, 1, count)
    return lambda values: np.interp(values, places, table)


def _parametric(kind: int, given: dict[str, float]) -> Curve:
    g, a, b = given["g"], given.get("a", 1.0), given.get("b", 0.0)
    c, d = given.get("c", 0.0), given.get("d", 0.0)
    if kind in (1, 2):
        d = -b / a if a else 0.0
    offset, below = (c, c) if kind == 2 else (given.get("e", 0.0), given.get("f", 0.0))
    slope = c if kind > 2 else 0.0

    def to_linear(values: NDArray[Any]) -> NDArray[Any]:
        above = np.maximum(a * values + b, 0) ** g + offset
        return np.where(values >= d, above, slope * values + below) if kind else above

    return to_linear
