"""What files say of their colours in places that Pillow does not show."""

import struct
from collections.abc import Iterator


class UnreadKindError(ValueError):
    """The file may be sound, but its pixels are of a kind that would be read wrongly."""


_GIF_PROFILE = b"\x21\xff\x0bICCRGBG1012"


def png_chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks before a PNG file's pixels, by name; of several of a name the first.

    Reference: PNG specification (third edition), section 5.3.
    """
    chunks: dict[bytes, bytes] = {}
    start = 8
    while start + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, start)
        if name == b"IDAT":
            break
        chunks.setdefault(name, data[start + 8 : start + 8 + length])
        start += length + 12
    return chunks


def gif_profile(data: bytes) -> bytes | None:
    """The ICC profile of a GIF file's application extension, from its blocks of 255 bytes at most."""
    start = data.find(_GIF_PROFILE)
    if start < 0:
        return None
    profile = b""
    start += len(_GIF_PROFILE)
    while start < len(data) and (length := data[start]):
        profile += data[start + 1 : start + 1 + length]
        start += length + 1
    return profile


def check_bmp(mode: str, data: bytes) -> None:
    """Looks at an opened BMP file before its pixels are decoded.

    Args:
      mode: Pillow's, which takes a palette of greys in order for the greys themselves, of 1 or 8 bits.
      data: The file's bytes.

    Raises:
      UnreadKindError: If its pixels have another number of bits.
    """
    bits = struct.unpack_from("<H", data, 24 if data[14] == 12 else 28)[0]
    if (mode, bits) in (("1", 4), ("1", 8), ("L", 4)):
        raise UnreadKindError(
            f"few greys in {bits} bits a pixel are not supported. Save it as 24 bits a pixel first"
        )


def bmp_colour_space(data: bytes) -> tuple[bytes, bytes]:
    """The kind of colour space in a BMP file's header, and the ICC profile if one is embedded.

    Returns:
      The kind in reading order, such as `b"sRGB"`, or `b"MBED"` for an embedded profile, and the
      profile. Both are empty where the header has no place for them, and where it is calibrated by
      numbers that are all zero, as many programs write it.

    Reference: Microsoft's BITMAPV4HEADER and BITMAPV5HEADER.
    """
    size = struct.unpack_from("<I", data, 14)[0]
    if size < 108:
        return b"", b""
    kind = data[70:74][::-1]
    if kind == bytes(4):
        return (b"calibrated" if any(data[74:122]) else b""), b""
    if kind == b"MBED" and size >= 124:
        offset, length = struct.unpack_from("<II", data, 14 + 112)
        return kind, data[14 + offset : 14 + offset + length]
    return kind, b""


def avif_nclx(data: bytes) -> tuple[int, int] | None:
    """The colour primaries and transfer characteristics of an AVIF file's picture, or None.

    They are code points of ITU-T H.273, in the property "colr" of the kind "nclx". The primary item's
    counts; where only its tiles have one, that of all of them.

    Reference: ISO/IEC 14496-12, 8.11 and 12.1.5; ISO/IEC 23008-12, 9.3.
    """
    boxes = {}
    for name, start, end in _boxes(data, 0, len(data)):
        if name == b"meta":
            boxes = {name: (start, end) for name, start, end in _boxes(data, start + 4, end)}
    if b"iprp" not in boxes:
        return None
    inner = {name: (start, end) for name, start, end in _boxes(data, *boxes[b"iprp"])}
    named = {}
    for index, (name, start, _) in enumerate(_boxes(data, *inner.get(b"ipco", (0, 0))), 1):
        if name == b"colr" and data[start : start + 4] == b"nclx":
            named[index] = struct.unpack_from(">HH", data, start + 4)
    if b"pitm" in boxes and b"ipma" in inner:
        own = _properties_of_primary(data, boxes[b"pitm"][0], inner[b"ipma"][0])
        of_primary = [named[index] for index in own if index in named]
        if of_primary:
            return of_primary[0]
    return next(iter(named.values())) if len(set(named.values())) == 1 else None


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Names of boxes, and where their contents start and end."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and start + 16 <= end:
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif size == 0:
            size = end - start
        if size < header:
            return
        yield name, start + header, min(start + size, end)
        start += size


def _properties_of_primary(data: bytes, pitm: int, ipma: int) -> list[int]:
    """The indices, from 1, of the primary item's properties."""
    item = struct.unpack_from(">I" if data[pitm] else ">H", data, pitm + 4)[0]
    has_long_ids, has_long_indices = bool(data[ipma]), bool(data[ipma + 3] & 1)
    count = struct.unpack_from(">I", data, ipma + 4)[0]
    start, found = ipma + 8, []
    for _ in range(count):
        if start + 3 > len(data):
            break
        identity = struct.unpack_from(">I" if has_long_ids else ">H", data, start)[0]
        start += 4 if has_long_ids else 2
        width = 2 if has_long_indices else 1
        entries = data[start + 1 : start + 1 + width * data[start]]
        start += 1 + width * data[start]
        if identity == item:
            # The uppermost bit says whether a reader must know the property.
            indices = struct.unpack(f">{len(entries) // width}{'H' if width == 2 else 'B'}", entries)
            found += [index & (0x7FFF if width == 2 else 0x7F) for index in indices]
    return found
