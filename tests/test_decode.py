"""Files to pixels in a graph, against the package's reader."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tf_style import read_image
from tf_style.serve.decode import decode, decode_mask
from tf_style.serve.orientation import ADOBE_SEGMENT

# Blocks of JPEG's size, 2 by 3, of different colours.
PIXELS = np.uint8([[[200, 30, 30], [30, 200, 30], [30, 30, 200]], [[250] * 3, [90] * 3, [9] * 3]])
PIXELS = PIXELS.repeat(16, axis=0).repeat(16, axis=1)


def encoded(format: str, image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    fine = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    (image or Image.fromarray(PIXELS)).save(file, format, **fine, **options)
    return file.getvalue()


def exif(orientation: int, order: str = ">", *, kind: int = 3, count: int = 1) -> bytes:
    """A TIFF structure with a maker's name and an orientation."""
    value = struct.pack(order + {3: "Hxx"}.get(kind, "I"), orientation)
    entries = struct.pack(order + "HHI", 0x010F, 2, 2) + b"a\0\0\0"
    entries += struct.pack(order + "HHI", 0x0112, kind, count) + value
    head = {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", 2) + entries + bytes(4)


def with_exif(format: str, data: bytes) -> bytes:
    """The picture's file with EXIF data, as Pillow writes it whatever they hold."""
    return encoded(format, exif=b"Exif\0\0" + data)


def assert_read_alike(data: bytes) -> np.ndarray:
    found, expected = decode(data, "x").numpy(), read_image(data).pixels
    assert found.shape == expected.shape
    # Of one libjpeg and another: a level each.
    assert np.abs(found - expected).max() <= 2 / 255
    return found


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("order", [">", "<"])
def test_pictures_are_turned_upright(format, order):
    seen = {
        assert_read_alike(with_exif(format, exif(orientation, order))).tobytes()
        for orientation in range(1, 9)
    }
    assert len(seen) == 8
    assert_read_alike(with_exif(format, exif(6, order, kind=4)))


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def test_exif_may_come_after_other_segments():
    plain = encoded("JPEG")
    others = [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 60_000),
        segment(0xE2, bytes(60_000)),
        segment(0xFE, b"Exif\0\0" + exif(3)),
        b"\xff\xff\xff",  # Fill bytes before the next marker.
    ]
    data = plain[:2] + b"".join(others) + segment(0xE1, b"Exif\0\0" + exif(6)) + plain[2:]
    assert decode(data, "x").shape == (48, 32, 3)
    # The first one counts.
    assert decode(data[:2] + segment(0xE1, b"Exif\0\0" + exif(1)) + data[2:], "x").shape == (32, 48, 3)


GOOD = exif(6)
BROKEN = {
    "a mark alone": GOOD[:4],
    "another byte order": b"XX" + GOOD[2:],
    "a directory beyond the end": GOOD[:4] + b"\xff\xff\xff\xff" + GOOD[8:],
    "a directory at the end": GOOD[:4] + struct.pack(">I", len(GOOD)) + GOOD[8:],
    "cut in the entry": GOOD[:30],
    "no entries": GOOD[:8] + bytes(2) + GOOD[10:],
    "0": exif(0),
    "9": exif(9),
    "a text": exif(6, kind=2),
    "two numbers": exif(6, count=2),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_exif_costs_only_the_turn(data):
    for format in ("JPEG", "PNG"):
        assert decode(with_exif(format, data), "x").shape == (32, 48, 3)


def test_more_entries_than_there_are_do_no_harm():
    assert decode(with_exif("JPEG", GOOD[:8] + b"\xff\xff" + GOOD[10:]), "x").shape == (48, 32, 3)


def test_segments_without_end_do_no_harm():
    plain = encoded("JPEG")
    for filler in (b"\xff\xe0\x00\x02" * 2000, b"\xff" * 2000, b"\xff\xe0\x00\x00"):
        decode(plain[:2] + filler + segment(0xE1, b"Exif\0\0" + exif(1)) + plain[2:], "x")


def test_cmyk_without_adobes_marker_is_read_alike():
    data = encoded("JPEG", Image.fromarray(PIXELS).convert("CMYK"))
    start = data.index(b"\xff\xee")
    without = data[:start] + data[start + len(ADOBE_SEGMENT) :]
    assert b"Adobe" not in without
    marked = assert_read_alike(data)
    with pytest.warns(UserWarning, match="no mark of Adobe"):
        plain = assert_read_alike(without)
    np.testing.assert_array_equal(marked, plain)
    assert np.abs(255 * plain - PIXELS).mean() < 10


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_pngs_of_few_bits_are_opaque(bits):
    image = Image.fromarray(np.arange(2**bits, dtype=np.uint8)[np.newaxis].repeat(3, 0), "P")
    image.putpalette([each for value in range(2**bits) for each in (255 - value, value, 9)])
    file = io.BytesIO()
    image.save(file, "PNG", bits=bits)
    data = file.getvalue()
    assert data[24] == bits
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32) / 255
    np.testing.assert_allclose(decode(data, "it"), expected, atol=1e-6)


def test_a_mask_is_read_opaque_or_not_at_all():
    file = io.BytesIO()
    Image.new("1", (4, 3), 1).save(file, "PNG")
    np.testing.assert_array_equal(decode_mask(file.getvalue(), "it"), np.ones((3, 4, 1), np.float32))
