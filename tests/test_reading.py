"""Reading pictures, arrays and sizes. Every file is made in the test; tolerances are in grey levels."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tf_style.errors import InputError
from tf_style.images import colour, reading, samples
from tf_style.images.picture import from_array, resize, working_size

HEIGHT, WIDTH = 24, 36
LEVEL = 1 / 255
# Lossless formats give k/255 as float32, which rounds by half a unit in the last place below 1.
EXACT = 1e-7


def smooth(height=HEIGHT, width=WIDTH):
    """A smooth uint8 picture, other along each axis and in each channel."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [40 + 180 * x / width, 30 + 200 * y / height, 220 - 90 * (x + y) / (height + width)]
    return np.stack(channels, -1).round().astype(np.uint8)


def encode(image, encoding, **options):
    stream = io.BytesIO()
    image.save(stream, encoding, **options)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour_type, raw, *extra):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def profile(space=b"RGB ", gamma=1.0):
    """A display profile (version 2, matrix and curves) with swapped-like wide primaries."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"

    def xyz(*values):
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))

    white = (0.9642, 1.0, 0.8249)
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": description, b"wtpt": xyz(*white), b"cprt": b"text" + bytes(4) + b"none\0"}
    if space == b"RGB ":
        # Adobe RGB (1998), adapted to D50.
        tags |= {b"rXYZ": xyz(0.6097, 0.3111, 0.0195), b"gXYZ": xyz(0.2053, 0.6257, 0.0609)}
        tags |= {b"bXYZ": xyz(0.1492, 0.0632, 0.7446)}
        tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    else:
        tags |= {b"kTRC": curve}
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", start + len(body), bytes(4), 0x02200000, b"mntr", space, b"XYZ "
    )
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(v * 65536) for v in white))
    return header.ljust(128, b"\0") + table + body


def cmyk_profile():
    """A printing profile whose lightness falls in a line with black, and with the mean of CMY."""
    corners = np.indices((2, 2, 2, 2)).reshape(4, 16)
    lightness = 255 * (1 - corners[3]) * (1 - corners[:3].mean(axis=0))
    lab = np.stack([lightness, np.full(16, 128), np.full(16, 128)], -1).round().astype(np.uint8)
    identity = struct.pack(">9i", *(np.eye(3, dtype=int).ravel() * 65536).tolist())
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + lab.tobytes() + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", start, len(white))
    tags += b"A2B0" + struct.pack(">II", start + len(white), len(table))
    size = start + len(white) + len(table)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02200000, b"prtr", b"CMYK", b"Lab ")
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white[8:]
    return header.ljust(128, b"\0") + tags + white + table


def read_pixels(data, **options):
    picture = reading.read(data, **options)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.shape == (picture.height, picture.width, 3)
    assert picture.pixels.flags.c_contiguous
    assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1
    return picture.pixels


def assert_one_line(error, *parts):
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


# Formats and modes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "options", "levels"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("BMP", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        # Lossy: a smooth picture at the best quality; quantisation of YCbCr gives about 2 levels.
        ("JPEG", {"quality": 100, "subsampling": 0}, 3),
        ("WEBP", {"quality": 100}, 8),
        ("AVIF", {"quality": 100}, 6),
        # 256 colours of a palette, 15 to 20 levels apart.
        ("GIF", {}, 24),
    ],
)
def test_formats(encoding, options, levels, tmp_path):
    expected = smooth()
    data = encode(Image.fromarray(expected), encoding, **options)
    path = tmp_path / "any.name"
    path.write_bytes(data)
    for source in (data, path, str(path), io.BytesIO(data), memoryview(data)):
        picture = reading.read(source)
        np.testing.assert_allclose(picture.pixels, expected / 255, atol=levels * LEVEL + EXACT)
        assert picture.alpha is None
        assert (picture.height, picture.width) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"])
def test_modes_of_8_bits(mode):
    encoding = {"CMYK": "TIFF", "PA": "TIFF"}.get(mode, "PNG")
    image = Image.fromarray(smooth()).convert(mode)
    expected = np.asarray(image.convert("RGB")) / 255
    pixels = read_pixels(encode(image, encoding))
    np.testing.assert_allclose(pixels, expected, atol=EXACT)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV"])
def test_modes_that_only_plugins_give(mode):
    image = Image.fromarray(smooth()).convert(mode)
    found = samples.from_image(image)
    np.testing.assert_array_equal(found.values, np.asarray(image.convert("RGB")))
    assert found.space == "RGB"
    assert found.alpha is None


def test_cmyk_jpeg_is_not_inverted():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(
        read_pixels(encode(image, "JPEG", quality=100)), [[[1, 0, 0]] * 16] * 16, atol=3 * LEVEL
    )


@pytest.mark.parametrize("values_type", ["png", "<u2", ">u2"])
def test_grey_of_16_bits_is_scaled_not_clipped(values_type):
    values = np.array([[0, 1, 257, 40000, 65535]], np.uint16)
    if values_type == "png":
        data = png(5, 1, 16, 0, b"\0" + values.astype(">u2").tobytes())
    else:
        data = encode(Image.fromarray(values.astype(values_type)), "TIFF")
    expected = np.repeat(values[..., None] / 65535, 3, axis=2)
    np.testing.assert_allclose(read_pixels(data), expected, atol=EXACT)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_colour_of_16_bits_keeps_them(mode):
    values = np.arange(1000, 1000 + 300 * 2 * len(mode), 300, np.uint16).reshape(1, 2, len(mode))
    kind = {"LA": 4, "RGB": 2, "RGBA": 6}[mode]
    picture = reading.read(
        png(2, 1, 16, kind, b"\0" + values.astype(">u2").tobytes()), background=(0, 0, 0)
    )
    expected = values[..., : 1 if mode == "LA" else 3] / 65535
    if mode != "RGB":
        np.testing.assert_allclose(picture.alpha, values[..., -1] / 65535, atol=EXACT)
        expected *= values[..., -1:] / 65535
    np.testing.assert_allclose(
        picture.pixels, expected.repeat(3 // expected.shape[2], 2), atol=2 * EXACT
    )


def test_grey_of_32_bits_is_taken_as_16_with_a_warning():
    values = np.array([[0, 40000, 65535]], np.int32)
    with pytest.warns(UserWarning, match=r"32 bits are taken as 0\.\.65535"):
        pixels = read_pixels(encode(Image.fromarray(values), "TIFF"))
    np.testing.assert_allclose(pixels[..., 0], values / 65535, atol=EXACT)


def test_floats_are_read_in_0_to_1_only():
    values = np.array([[0, 0.25, 1]], np.float32)
    pixels = read_pixels(encode(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(pixels[..., 1], values)
    for bad in (1.5, -0.1, np.nan, np.inf):
        data = encode(Image.fromarray(np.array([[0, bad]], np.float32)), "TIFF")
        with pytest.raises(InputError) as error:
            reading.read(data)
        assert_one_line(error, "the image given as bytes", "0..1")
    data = encode(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF")
    with pytest.raises(InputError, match=r"is not read: .*0\.\.65535.*70000"):
        reading.read(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("encoding", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_orientation(orientation, encoding):
    upright = np.kron(smooth(3, 5), np.ones((16, 16, 1), np.uint8))
    # What the camera stores so that the given orientation turns it upright (EXIF 2.3, 4.6.4).
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    image = Image.fromarray(np.ascontiguousarray(stored))
    pixels = read_pixels(encode(image, encoding, exif=exif, **options.get(encoding, {})))
    tolerance = 3 * LEVEL if encoding == "JPEG" else EXACT
    np.testing.assert_allclose(pixels, upright / 255, atol=tolerance)


def test_orientation_turns_alpha_and_wide_grey_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([smooth(), np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256])
    image = Image.fromarray(rgba.astype(np.uint8))
    picture = reading.read(encode(image, "PNG", exif=exif))
    np.testing.assert_allclose(picture.alpha, np.rot90(rgba[..., 3], -1) / 255, atol=EXACT)
    wide = np.array([[1, 40000]], np.uint16)
    pixels = read_pixels(encode(Image.fromarray(wide), "PNG", exif=exif))
    np.testing.assert_allclose(pixels[:, 0, 0], [1 / 65535, 40000 / 65535], atol=EXACT)


def test_damaged_exif_costs_only_the_turn():
    data = encode(Image.fromarray(smooth()), "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        picture = reading.read(data)
    np.testing.assert_allclose(picture.pixels, smooth() / 255, atol=EXACT)
    assert all("\n" not in str(w.message) for w in caught)


# Profiles ---------------------------------------------------------------------------------------


def by_image_cms(image, icc, flags=ImageCms.Flags.NONE):
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(converted) / 255


@pytest.mark.parametrize("encoding", ["PNG", "TIFF"])
def test_rgb_profile(encoding):
    icc = profile(gamma=2.2)
    image = Image.fromarray(smooth())
    pixels = read_pixels(encode(image, encoding, icc_profile=icc))
    np.testing.assert_allclose(pixels, by_image_cms(image, icc), atol=EXACT)
    assert np.abs(pixels - smooth() / 255).max() > 10 * LEVEL


def test_rgb_profile_against_the_formula():
    """Linear light to sRGB, without ImageCms: the curve of IEC 61966-2-1, greys only."""
    levels = np.arange(256, dtype=np.uint8)
    grey = np.repeat(levels[None, :, None], 3, axis=2)
    data = encode(Image.fromarray(grey), "PNG", icc_profile=profile(gamma=1.0))
    linear = levels / 255
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    # 1 level: 8-bit output; 1 more: the primaries above are rounded to 4 digits.
    np.testing.assert_allclose(read_pixels(data)[0, :, 1], expected, atol=2 * LEVEL)


@pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
@pytest.mark.parametrize("depth", [8, 16])
def test_grey_with_a_profile(space, depth):
    levels = np.arange(256, dtype=np.uint16)[None, :]
    values = levels * 257 if depth == 16 else levels.astype(np.uint8)
    icc = profile(space, gamma=1.0)
    pixels = read_pixels(encode(Image.fromarray(values), "PNG", icc_profile=icc))
    linear = levels / 255
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    np.testing.assert_allclose(pixels, np.dstack([expected] * 3), atol=2 * LEVEL)


def test_grey_of_16_bits_keeps_its_steps_through_a_profile():
    values = np.arange(30000, 31000, dtype=np.uint16)[None, :]
    icc = profile(b"GRAY", gamma=1.8)
    pixels = read_pixels(encode(Image.fromarray(values), "PNG", icc_profile=icc))
    assert len(np.unique(pixels[0, :, 0])) == 1000


def test_palette_and_alpha_with_a_profile():
    icc = profile(gamma=1.8)
    image = Image.fromarray(smooth()).quantize(32)
    expected = by_image_cms(image.convert("RGB"), icc)
    data = encode(image, "PNG", icc_profile=icc)
    np.testing.assert_allclose(read_pixels(data), expected, atol=EXACT)
    rgb = Image.fromarray(smooth())
    rgba = rgb.copy()
    rgba.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
    picture = reading.read(encode(rgba, "PNG", icc_profile=icc), background=(0, 0, 0))
    alpha = np.asarray(rgba.getchannel("A")) / 255
    np.testing.assert_allclose(picture.alpha, alpha, atol=EXACT)
    expected = by_image_cms(rgb, icc) * alpha[..., None]
    np.testing.assert_allclose(picture.pixels, expected, atol=2 * EXACT)


@pytest.mark.parametrize("encoding", ["TIFF", "JPEG"])
def test_cmyk_profile_against_the_formula(encoding):
    black = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[:, None], 16, axis=0).repeat(16, axis=1)
    inks = np.dstack([np.zeros_like(black)] * 3 + [black])
    options = {"quality": 100, "subsampling": 0} if encoding == "JPEG" else {}
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(inks, 2, 0)]
    image = Image.merge("CMYK", planes)
    pixels = read_pixels(encode(image, encoding, icc_profile=cmyk_profile(), **options))
    # CIE 1976: lightness to luminance, then the curve of sRGB.
    lightness = 100 * (1 - black / 255)
    above = ((lightness + 16) / 116) ** 3
    linear = np.where(lightness > 8, above, lightness * 27 / 24389)
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    # Two roundings to 8 bits, and one more by JPEG.
    np.testing.assert_allclose(pixels, np.dstack([expected] * 3), atol=3 * LEVEL)


@pytest.mark.parametrize("embedded", [True, False])
def test_lab(embedded):
    image = ImageCms.profileToProfile(
        Image.fromarray(smooth()),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = encode(image, "TIFF", **({"icc_profile": icc} if embedded else {}))
    pixels = read_pixels(data)
    expected = by_image_cms(image, icc, ImageCms.Flags.NOOPTIMIZE)
    np.testing.assert_allclose(pixels, expected, atol=EXACT)
    # Back where it came from: a and b are in whole units, worth 1 to 2 levels, more in the dark.
    assert np.abs(pixels - smooth() / 255).mean() < 2 * LEVEL


def test_own_srgb_profile_changes_nothing():
    icc = colour.srgb_profile()
    assert icc == colour.srgb_profile()
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    data = encode(Image.fromarray(values), "PNG", icc_profile=icc)
    np.testing.assert_allclose(read_pixels(data), values / 255, atol=EXACT)


@pytest.mark.parametrize("icc", [b"garbage", profile()[:140], profile(b"GRAY")])
def test_broken_profile_warns_and_is_srgb(icc, tmp_path):
    path = tmp_path / "p.png"
    path.write_bytes(encode(Image.fromarray(smooth()), "PNG", icc_profile=icc))
    with pytest.warns(UserWarning, match=r"p\.png: its colour profile cannot be used") as caught:
        pixels = reading.read(path).pixels
    assert caught[0].filename == __file__
    np.testing.assert_allclose(pixels, smooth() / 255, atol=EXACT)


# Alpha ------------------------------------------------------------------------------------------


def test_hidden_colours_stay_hidden():
    rgba = np.array([[[255, 0, 0, 0], [0, 255, 0, 255], [0, 0, 255, 51]]], np.uint8)
    data = encode(Image.fromarray(rgba), "PNG")
    picture = reading.read(data)
    np.testing.assert_allclose(picture.alpha, [[0, 1, 0.2]], atol=EXACT)
    expected = [[[1, 1, 1], [0, 1, 0], [0.8, 0.8, 1]]]
    np.testing.assert_allclose(picture.pixels, expected, atol=2 * EXACT)
    picture = reading.read(data, background=(0.5, 0.25, 0))
    expected = [[[0.5, 0.25, 0], [0, 1, 0], [0.4, 0.2, 0.2]]]
    np.testing.assert_allclose(picture.pixels, expected, atol=2 * EXACT)


@pytest.mark.parametrize("kind", ["P int", "P bytes", "L", "1", "I;16", "RGB", "LA", "RGBa"])
def test_transparency_in_each_mode(kind):
    """The left pixel is transparent, the right one is white; on black that is 0 and 1."""
    options = {}
    if kind.startswith("P"):
        image = Image.new("P", (2, 1))
        image.putpalette([255, 0, 0, 255, 255, 255])
        image.putpixel((1, 0), 1)
        options = {"transparency": 0 if kind == "P int" else b"\0\xff"}
    elif kind == "LA":
        image = Image.fromarray(np.array([[[200, 0], [255, 255]]], np.uint8))
    elif kind == "RGBa":
        image = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 255, 255, 255]]], np.uint8))
        options = {"tiffinfo": {338: 1}}  # ExtraSamples: associated alpha.
    elif kind == "I;16":
        image = Image.fromarray(np.array([[700, 65535]], np.uint16))
    else:
        image = Image.new(kind, (2, 1))
        image.putpixel((1, 0), (255, 255, 255) if kind == "RGB" else 255)
        options = {"transparency": (0, 0, 0) if kind == "RGB" else 0}
    data = encode(image, "TIFF" if kind == "RGBa" else "PNG", **options)
    if kind == "I;16":
        key = chunk(b"tRNS", struct.pack(">H", 700))
        data = png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 700, 65535), key)
    picture = reading.read(data, background=(0, 0, 0))
    np.testing.assert_array_equal(picture.alpha, [[0, 1]])
    np.testing.assert_allclose(picture.pixels, [[[0] * 3, [1] * 3]], atol=EXACT)


def test_opaque_alpha_is_none():
    image = Image.fromarray(smooth()).convert("RGBA")
    assert reading.read(encode(image, "PNG")).alpha is None


@pytest.mark.parametrize("background", [(1, 1), (0, 0, 2), (0, 0, np.nan)])
def test_bad_background(background):
    with pytest.raises(InputError, match="0..1"):
        reading.read(encode(Image.new("RGB", (2, 2)), "PNG"), background=background)


@pytest.mark.parametrize("encoding", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_first_of_several_frames(encoding, tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    path = tmp_path / "moving"
    path.write_bytes(encode(frames[0], encoding, save_all=True, append_images=frames[1:]))
    with pytest.warns(UserWarning, match="moving: it has several frames"):
        pixels = reading.read(path).pixels
    tolerance = 6 * LEVEL if encoding in ("WEBP", "AVIF") else EXACT
    np.testing.assert_allclose(pixels, [[[1, 0, 0]] * 16] * 16, atol=tolerance)


def test_previews_in_a_camera_file_are_not_mentioned():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    pixels = read_pixels(encode(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    np.testing.assert_allclose(pixels, [[[1, 0, 0]] * 16] * 16, atol=3 * LEVEL)


# Bad inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_truncated_at_each_tenth(encoding, tmp_path):
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    data = encode(image, encoding)
    path = tmp_path / f"cut.{encoding.lower()}"
    for tenths in range(10):
        path.write_bytes(data[: len(data) * tenths // 10])
        with pytest.raises(InputError) as error:
            reading.read(path)
        assert_one_line(error, str(path), "Expected")


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_damaged_bytes_raise_nothing_else(encoding):
    rng = np.random.default_rng(2)
    data = encode(Image.fromarray(smooth()), encoding)
    for _ in range(40):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 8):
            damaged[position] = rng.integers(256)
        with warnings.catch_warnings(), contextlib.suppress(InputError):
            warnings.simplefilter("ignore")
            reading.read(bytes(damaged), limits=reading.Limits(max_pixels=10**6))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just a text\n" * 9, "is of another kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is of another kind"),
        (b"%PDF-1.7 ...........", "is of another kind"),
        (b"BM is how this text begins", "cannot be decoded"),
        (b"\xff\xd8\xff", "cannot be decoded"),
    ],
)
def test_other_content(content, message, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        reading.read(path)
    assert_one_line(error, str(path), message, "JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF")
    with pytest.raises(InputError, match="the image given as bytes"):
        reading.read(content)


def test_what_is_no_file(tmp_path):
    for source, message in [
        (tmp_path / "missing.png", "does not exist"),
        (tmp_path, "directory"),
        (tmp_path / "a\nb.png", r"a\nb.png"),
        ("/dev/zero", "no regular file"),
        ("nul\0.png", "cannot be read"),
        (17, "int"),
        (io.StringIO("text"), "binary"),
    ]:
        with pytest.raises(InputError) as error:
            reading.read(source)
        assert_one_line(error, message)


def test_a_fifo_does_not_block(tmp_path):
    fifo = tmp_path / "pipe.png"
    os.mkfifo(fifo)
    with pytest.raises(InputError, match="no regular file"):
        reading.read(fifo)


def test_streams_that_return_little_are_read_whole():
    data = encode(Image.fromarray(smooth()), "PNG")
    reader, writer = os.pipe()

    def send():
        with open(writer, "wb", buffering=0) as file:
            for start in range(0, len(data), 100):
                file.write(data[start : start + 100])

    thread = threading.Thread(target=send)
    thread.start()
    with open(reader, "rb", buffering=0) as file:
        np.testing.assert_allclose(reading.read(file).pixels, smooth() / 255, atol=EXACT)
    thread.join()


def test_limits(tmp_path):
    data = encode(Image.fromarray(smooth()), "PNG")
    path = tmp_path / "p.png"
    path.write_bytes(data)
    at_limit = reading.Limits(max_bytes=len(data), max_pixels=HEIGHT * WIDTH)
    for wrap in (bytes, lambda _: path, io.BytesIO):
        reading.read(wrap(data), limits=at_limit)
        with pytest.raises(InputError, match=f"too large.*at most {len(data) - 1} bytes"):
            reading.read(wrap(data), limits=reading.Limits(max_bytes=len(data) - 1))
        with pytest.raises(InputError, match=f"36 x 24 pixels.*at most {HEIGHT * WIDTH - 1}"):
            reading.read(wrap(data), limits=reading.Limits(max_pixels=HEIGHT * WIDTH - 1))
    with pytest.raises(InputError, match="positive"):
        reading.Limits(max_pixels=0)


def test_a_bomb_is_refused_by_its_header():
    # 20000 x 20000 of one bit, 50 MB unpacked and 400 million pixels, in about 50 kB.
    bomb = png(20000, 20000, 1, 0, bytes(2501 * 20000))
    assert len(bomb) < 100_000
    with pytest.raises(InputError, match="20000 x 20000 pixels.*at most 268435456 in all"):
        reading.read(bomb)


def test_limits_alone_decide(monkeypatch):
    """Neither Pillow's warning nor its refusal shows, and its setting stays as it is."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert reading.read(encode(Image.fromarray(smooth()), "PNG")).height == HEIGHT
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    assert reading.read(encode(Image.fromarray(smooth()), "JPEG")).height == HEIGHT
    assert HEIGHT * WIDTH - 1 == Image.MAX_IMAGE_PIXELS


def test_one_pixel():
    assert read_pixels(encode(Image.new("RGB", (1, 1), "red"), "PNG")).tolist() == [[[1, 0, 0]]]


def test_no_tensorflow_and_no_effects_on_import():
    code = (
        "import numpy, sys, warnings; from PIL import Image, ImageFile; "
        "before = list(warnings.filters), Image.MAX_IMAGE_PIXELS; "
        "import tf_style.images.reading; assert 'tensorflow' not in sys.modules; "
        "assert before == (list(warnings.filters), Image.MAX_IMAGE_PIXELS); "
        "assert not ImageFile.LOAD_TRUNCATED_IMAGES"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


# Arrays and sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_from_array(dtype):
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    values = (np.random.default_rng(0).random((4, 5, 4)) * top).astype(dtype)
    before = values.copy()
    scaled = values.astype(np.float64) / top
    np.testing.assert_allclose(from_array(values[..., :3]).pixels, scaled[..., :3], atol=1e-7)
    grey = np.repeat(scaled[..., :1], 3, axis=2)
    for source in (values[..., 0], values[..., :1]):
        np.testing.assert_allclose(from_array(source).pixels, grey, atol=1e-7)
    picture = from_array(values, background=(0, 0, 0))
    np.testing.assert_allclose(picture.alpha, scaled[..., 3], atol=1e-7)
    np.testing.assert_allclose(picture.pixels, scaled[..., :3] * scaled[..., 3:], atol=2e-7)
    assert picture.pixels.dtype == picture.alpha.dtype == np.float32
    picture.pixels[:] = 0
    from_array(values[..., :3]).pixels[:] = 0
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 2)), r"shape=\(2, 2, 2\)"),
        (np.zeros(3), r"shape=\(3,\)"),
        (np.zeros((0, 4, 3)), r"shape=\(0, 4, 3\)"),
        (np.zeros((1, 2, 2, 3)), r"shape=\(1, 2, 2, 3\)"),
        (np.zeros((2, 2, 3), np.int64), "int64"),
        (np.zeros((2, 2, 3), bool), "bool"),
        (np.zeros((2, 2, 3), complex), "complex"),
        (np.full((2, 2, 3), 255.0), "divide it by 255.*from 255 to 255"),
        (np.full((2, 2, 3), -0.5), "from -0.5"),
        (np.full((2, 2, 3), np.nan), "nan"),
        (np.full((2, 2, 3), np.inf), "inf"),
        ("text", "shape="),
    ],
)
def test_from_array_refuses(array, message):
    with pytest.raises(InputError, match=message):
        from_array(array)


def test_resize_keeps_shape_range_and_mean():
    pixels = np.random.default_rng(0).random((40, 60, 3)).astype(np.float32)
    for height, width in ((20, 30), (7, 11), (80, 121), (1, 1), (40, 10)):
        resized = resize(pixels, height, width)
        assert resized.shape == (height, width, 3)
        assert resized.dtype == np.float32
        assert 0 <= resized.min() <= resized.max() <= 1
        np.testing.assert_array_equal(resize(pixels[..., 1], height, width), resized[..., 1])
    # Reduced without aliasing: one pixel of noise is near its mean, 0.5 +- 0.29 / sqrt(2400) * 4.
    np.testing.assert_allclose(resize(pixels, 1, 1), 0.5, atol=0.03)


def test_resize_keeps_16_bits_and_ramps():
    ramp = np.tile(np.linspace(0.2, 0.21, 400, dtype=np.float32), (8, 1))
    resized = resize(ramp, 8, 200)
    # A ramp's half-size samples lie between pairs; borders see a one-sided window.
    expected = ramp.reshape(8, 200, 2).mean(axis=2)
    np.testing.assert_allclose(resized[:, 8:-8], expected[:, 8:-8], atol=1e-6)
    assert len(np.unique(resized[0])) == 200


def test_resize_to_the_same_size_is_a_copy():
    pixels = smooth().astype(np.float32) / 255
    same = resize(pixels, HEIGHT, WIDTH)
    np.testing.assert_array_equal(same, pixels)
    assert not np.shares_memory(same, pixels)
    with pytest.raises(InputError, match="height=0"):
        resize(pixels, 0, 5)
    with pytest.raises(InputError, match="shape"):
        resize(pixels[0, 0], 2, 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((600, 800, 400, "long"), (300, 400)),
        ((800, 600, 400, "long"), (400, 300)),
        ((600, 800, 300, "short"), (300, 400)),
        ((600, 800, 1200, "short"), (1200, 1600)),
        ((400, 900, 300, "area"), (200, 450)),
        ((1, 5000, 100, "long"), (1, 100)),
        ((333, 1000, 100, "long"), (33, 100)),
    ],
)
def test_working_size(arguments, expected):
    assert working_size(*arguments) == expected


@pytest.mark.parametrize("arguments", [(0, 5, 5, "long"), (5, 5, 0, "area"), (5, 5, 5, "width")])
def test_working_size_refuses(arguments):
    with pytest.raises(InputError, match="Received"):
        working_size(*arguments)
