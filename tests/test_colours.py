"""Files whose samples or colours are not what they seem to be; benchmarks/colours.py has more."""

import pathlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from test_reading import EXACT, LEVEL, assert_one_line, chunk, encode, png, profile, smooth

from tf_style.errors import InputError
from tf_style.images import reading

PICTURES = pathlib.Path(__file__).parent / "data" / "pictures"
D65 = (0.3127, 0.3290)
SRGB = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3 = (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT2020 = (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
# Adobe RGB (1998), 4.3.4.2.
ADOBE_GAMMA = 563 / 256


def by_formula(values, primaries, curve):
    """Encoded values [..., 3] in 0..1 to sRGB, in float64; all whites here are D65."""
    if curve == "sRGB":
        light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    elif curve == "BT.709":
        alpha, beta = 1.09929682680944, 0.018053968510807  # ITU-T H.273, table 3.
        above = ((values + alpha - 1) / alpha) ** (1 / 0.45)
        light = np.where(values < 4.5 * beta, values / 4.5, above)
    else:
        light = values**curve

    def to_xyz(primaries):
        points = np.reshape(primaries, (4, 2))
        points = np.column_stack([points, 1 - points.sum(axis=1)])
        return points[1:].T * np.linalg.solve(points[1:].T, points[0] / points[0, 1])

    light = np.clip(light @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)).T, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def tiff(values, bits, photometric, order="<", **tags):
    """An uncompressed TIFF file of a strip; more tags are `t338=[1]` or bytes, None leaves one out."""
    height, width, channels = values.shape
    if bits == 12:
        shifted = values.reshape(height, -1, 1) >> np.arange(11, -1, -1) & 1
        strip = np.packbits(shifted.reshape(height, -1), axis=1).tobytes()
    else:
        strip = values.astype(f"{order}u{bits // 8}").tobytes()
    entries = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [photometric]}
    entries |= {273: [0], 277: [channels], 278: [height], 279: [len(strip)]}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    entries = {tag: value for tag, value in entries.items() if value is not None}
    start = 8 + 2 + 12 * len(entries) + 4
    sizes = [len(value) * (1 if isinstance(value, bytes) else 2) for value in entries.values()]
    entries[273] = [start + sum(size + size % 2 for size in sizes if size > 4)]
    directory, body = struct.pack(order + "H", len(entries)), b""
    for tag, value in sorted(entries.items()):
        is_bytes = isinstance(value, bytes)
        data = value if is_bytes else struct.pack(f"{order}{len(value)}H", *value)
        place = data.ljust(4, b"\0")
        if len(data) > 4:
            place = struct.pack(order + "I", start + len(body))
            body += data + bytes(len(data) % 2)
        directory += struct.pack(order + "HHI", tag, 7 if is_bytes else 3, len(value)) + place
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + directory + bytes(4) + body + strip


def coloured_png(values, *chunks):
    """A PNG file of uint8 or uint16 [height, width, 3]."""
    depth = 8 * values.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], depth, 2, rows, *chunks)


def exif(colour_space=None, index=None):
    data = Image.Exif()
    data[0x8769] = {0x9000: b"0231"} | ({0xA001: colour_space} if colour_space else {})
    if index:
        data[0x8769][0xA005] = {1: index}
    return data.tobytes()


def read(data):
    return reading.read(data).pixels


RAMP = np.arange(0, 4096, 65)[np.newaxis, :, np.newaxis]


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        ("miniswhite16.tif", (0, 0, 0), (255, 255, 255)),
        ("grey12.tif", (0, 0, 0), (255, 255, 255)),
        ("palette8in16.tif", (48, 38, 216), (206, 38, 171)),
        ("trns_grey4_mid.png", (0, 0, 0), (255, 255, 255)),
        # What it holds is (5, 3, 183) and (181, 3, 102), of linear light.
        ("gama1_8.png", (38, 28, 220), (217, 28, 169)),
        # What it holds is (40, 30, 220), of Display P3.
        ("cicp_p3.png", (42, 30, 229), (237, 0, 174)),
    ],
)
def test_files_that_were_misread(name, left, right):
    pixels = read(PICTURES / name)
    np.testing.assert_allclose(255 * pixels[0, 0], left, atol=1)
    np.testing.assert_allclose(255 * pixels[0, -1], right, atol=1)


# TIFF -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tiff(RAMP * 16, 16, 0), 1 - RAMP * 16 / 65535),
        (tiff(RAMP * 16, 16, 1, ">"), RAMP * 16 / 65535),
        (tiff(RAMP, 12, 1), RAMP / 4095),
        (tiff(RAMP % 256, 8, 3, t320=list(range(256)) * 3), RAMP % 256 / 255),
        (tiff(RAMP % 256, 8, 3, t320=[257 * level for level in range(256)] * 3), RAMP % 256 / 255),
        (tiff(np.repeat(RAMP, 3, 2) * 16, 16, 2), RAMP * 16 / 65535),
        (tiff(np.repeat(RAMP, 3, 2) * 16, 16, 2, ">"), RAMP * 16 / 65535),
        # Of no ink but black.
        (tiff(np.insert(RAMP * 16, [0] * 3, 0, axis=2), 16, 5), 1 - RAMP * 16 / 65535),
    ],
    ids=["white is 0", "16", "12", "palette of 8", "palette of 16", "RGB", "RGB reversed", "CMYK"],
)
def test_tiff_samples(data, expected):
    # 12 bits are widened to 16, rounded down.
    np.testing.assert_allclose(read(data), np.repeat(expected, 3, axis=2), atol=1 / 65535)


@pytest.mark.parametrize(("bits", "channels"), [(8, 3), (16, 3)])
def test_tiff_alpha_that_is_multiplied_in(bits, channels):
    top = 2**bits - 1
    alpha = np.array([[[top // 5], [top]]])
    # Of white, thinned.
    values = alpha.repeat(channels + 1, axis=2)
    data = tiff(values, bits, channels // 2 + 1, t338=[1])
    picture = reading.read(data, background=(0, 0, 0))
    np.testing.assert_allclose(picture.alpha, alpha[..., 0] / top, atol=EXACT)
    # The quotient of 16 bits is rounded down.
    np.testing.assert_allclose(picture.pixels, np.repeat(alpha / top, 3, axis=2), atol=2e-5)


EIGHT, RGB = RAMP % 256, np.repeat(RAMP % 256, 3, axis=2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(RGB, 8, 2, t254=[1]), "raw file only a preview of 64 x 1 pixels"),
        (tiff(RGB, 8, 2, t50706=b"\1\4\0\0"), "raw file only a preview"),
        (tiff(EIGHT, 8, 1, t262=None), "whether 0 is black or white"),
        (tiff(EIGHT, 8, 1, t339=[2]), "signed samples of 8 bits"),
        (tiff(EIGHT, 16, 1, t339=[2]), "signed samples of 16 bits"),
        (tiff(EIGHT, 32, 0, t339=[3]), "floats whose 0 is white"),
        (tiff(RGB, 16, 2, t284=[2]), "separate planes of 16 bits"),
        (tiff(RGB, 8, 8, t284=[2]), "separate planes of 8 bits"),
        (tiff(np.repeat(EIGHT, 4, 2), 8, 5, t332=[2]), "inks other than cyan"),
        (tiff(RGB, 8, 6), "YCbCr samples"),
        (tiff(RGB, 12, 2), "kind of samples"),
        (tiff(RGB, 8, 9), "kind of samples"),
    ],
)
def test_tiff_kinds_that_would_be_misread_are_refused(data, message):
    with pytest.raises(InputError) as error:
        reading.read(data)
    assert_one_line(error, "the image given as bytes is not read: ", message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(np.repeat(EIGHT, 4, 2), 8, 2), "its fourth channel is; taken as transparency"),
        (tiff(np.repeat(EIGHT, 4, 2), 8, 2, t338=[0]), "its additional channel is; left out"),
        (tiff(RGB, 8, 2, t318=struct.pack("<4I", 31, 100, 33, 100)), "primaries and curve"),
    ],
)
def test_tiff_kinds_that_are_guessed_are_told(data, message):
    with pytest.warns(UserWarning, match=message) as caught:
        reading.read(data)
    assert len(caught) == 1


# PNG --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_png_colour_key_of_grey(depth):
    top = 2**depth - 1
    row = {1: b"\x40", 2: b"\x24", 4: b"\x07\xf0", 8: b"\0\7\xff", 16: b"\0\0\1\7\xff\xff"}[depth]
    key = {1: 1, 2: 2, 4: 7, 8: 7, 16: 0x107}[depth]
    # Only as many bits as the samples have count.
    spare = 0 if depth == 16 else 1 << depth
    data = png(
        3 if depth > 1 else 2, 1, depth, 0, b"\0" + row, chunk(b"tRNS", struct.pack(">H", key | spare))
    )
    picture = reading.read(data)
    values = {1: [0, 1], 2: [0, 2, 1]}.get(depth, [0, key, top])
    np.testing.assert_array_equal(picture.alpha[0], [value != key for value in values])


def test_png_colour_key_of_16_bits_counts_all_of_them():
    values = np.array([[[0x1234, 0x5678, 0x9ABC], [0x1234, 0x5678, 0x9ABD]]], np.uint16)
    picture = reading.read(coloured_png(values, chunk(b"tRNS", values[0, 0].astype(">u2").tobytes())))
    np.testing.assert_array_equal(picture.alpha, [[0, 1]])


def gama(value):
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(primaries):
    return chunk(b"cHRM", struct.pack(">8I", *(round(100000 * each) for each in primaries)))


def cicp(*codes):
    return chunk(b"cICP", bytes(codes))


def iccp(*arguments):
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile(*arguments)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("chunks", "primaries", "curve"),
    [
        ([gama(100000)], SRGB, 1.0),
        ([gama(55556)], SRGB, 1 / 0.55556),
        ([gama(45455)], SRGB, "sRGB"),
        ([gama(100000), chunk(b"sRGB", b"\0")], SRGB, "sRGB"),
        ([gama(45455), chrm(ADOBE)], ADOBE, 1 / 0.45455),
        ([cicp(1, 13, 0, 1), gama(100000)], SRGB, "sRGB"),
        ([cicp(12, 13, 0, 1), iccp()], P3, "sRGB"),
        ([cicp(12, 8, 0, 1)], P3, 1.0),
        ([cicp(9, 14, 0, 1)], BT2020, "BT.709"),
        ([cicp(9, 4, 0, 1)], BT2020, 2.2),
        ([iccp(b"RGB ", ADOBE_GAMMA), gama(100000)], ADOBE, ADOBE_GAMMA),
        ([chunk(b"eXIf", exif(65535, "R03")[6:])], ADOBE, ADOBE_GAMMA),
    ],
)
def test_png_colours_by_formula(chunks, primaries, curve, dtype):
    values = np.concatenate([smooth(), np.indices((24, 36, 3))[2].astype(np.uint8) * 127]).astype(dtype)
    if dtype == np.uint16:
        values = values * np.uint16(257)
    expected = by_formula(values / np.iinfo(dtype).max, primaries, curve)
    # Little CMS in 8 bits is off by a level; the profile's numbers are rounded to 16 bits.
    tolerance = 1 if "iCCP" in str(chunks) else 0.1
    np.testing.assert_allclose(read(coloured_png(values, *chunks)), expected, atol=tolerance * LEVEL)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([cicp(9, 16, 0, 1)], "BT.2020 with PQ"),
        ([cicp(9, 18, 0, 1)], "BT.2020 with HLG"),
        ([cicp(10, 13, 0, 1)], "primaries 10"),
        ([cicp(1, 1, 0, 1)], "BT.709's, of video"),
        ([cicp(12, 13, 0, 0)], "cICP chunk is for video"),
        ([gama(0)], "gAMA chunk is damaged"),
        ([gama(100000), chrm([0.3] * 8)], "cHRM chunk is damaged"),
        ([chunk(b"iCCP", b"x\0\0damaged")], "profile cannot be used .it is damaged"),
        ([chunk(b"eXIf", exif(65535)[6:])], "are not sRGB's"),
    ],
)
def test_png_colours_that_are_not_converted_are_told(chunks, message):
    with pytest.warns(UserWarning, match=message) as caught:
        pixels = read(coloured_png(smooth(), *chunks))
    assert len(caught) == 1
    np.testing.assert_allclose(pixels, smooth() / 255, atol=EXACT)


def test_png_primaries_without_a_curve_are_told():
    with pytest.warns(UserWarning, match="curve is taken as sRGB's"):
        pixels = read(coloured_png(smooth(), chrm(P3)))
    np.testing.assert_allclose(pixels, by_formula(smooth() / 255, P3, "sRGB"), atol=0.1 * LEVEL)


# Profiles in floats -----------------------------------------------------------------------------


def curve_tags():
    parameters = {0: [2.2], 1: [2.2, 1.05, -0.05], 2: [2.2, 1.05, -0.05, 0.0]}
    parameters[3] = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
    parameters[4] = [2.0, 0.9, 0.1, 0.1, 0.1, -0.01, 0.0]
    for kind, values in parameters.items():
        numbers = struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))
        yield b"para" + bytes(4) + struct.pack(">HH", kind, 0) + numbers
    yield b"curv" + bytes(8)
    table = np.rint(65535 * np.linspace(0, 1, 100) ** 2).astype(">u2").tobytes()
    yield b"curv" + bytes(4) + struct.pack(">I", 100) + table


@pytest.mark.parametrize("curve", list(curve_tags()))
def test_profile_curves_in_16_bits_are_little_cms_in_8(curve):
    icc = profile(gamma=1.8)
    start = len(icc)
    (count,) = struct.unpack_from(">I", icc, 128)
    table = [struct.unpack_from(">4sII", icc, 132 + 12 * index) for index in range(count)]
    for index, (name, _, _) in enumerate(table):
        if name.endswith(b"TRC"):
            entry = 132 + 12 * index
            icc = icc[:entry] + struct.pack(">4sII", name, start, len(curve)) + icc[entry + 12 :]
    icc = struct.pack(">I", len(icc) + len(curve)) + icc[4:] + curve
    tag = chunk(b"iCCP", b"x\0\0" + zlib.compress(icc))
    narrow, wide = read(coloured_png(smooth(), tag)), read(coloured_png(smooth() * np.uint16(257), tag))
    # Of Little CMS's fixed point and rounding.
    np.testing.assert_allclose(wide, narrow, atol=1.5 * LEVEL)


# The other formats ------------------------------------------------------------------------------


# Pillow cannot write an interoperability index into TIFF.
@pytest.mark.parametrize(
    ("encoding", "tags"),
    [("JPEG", (65535, "R03")), ("WEBP", (65535, "R03")), ("JPEG", (2, None)), ("TIFF", (2, None))],
)
def test_adobe_rgb_by_exif(encoding, tags):
    image = Image.fromarray(smooth())
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(encoding, {})
    plain = read(encode(image, encoding, **options)).astype(np.float64)
    pixels = read(encode(image, encoding, exif=exif(*tags), **options))
    np.testing.assert_allclose(pixels, by_formula(plain, ADOBE, ADOBE_GAMMA), atol=0.1 * LEVEL)


def avif(primaries, transfer, **options):
    data = encode(Image.fromarray(smooth()), "AVIF", quality=100, **options)
    start = data.index(b"colrnclx") + 8
    return data[:start] + struct.pack(">HH", primaries, transfer) + data[start + 4 :]


@pytest.mark.parametrize(
    ("codes", "primaries", "curve"),
    [((12, 13), P3, "sRGB"), ((9, 14), BT2020, "BT.709"), ((2, 2), SRGB, "sRGB")],
)
def test_avif_colours_by_code_points(codes, primaries, curve):
    plain = read(avif(1, 13)).astype(np.float64)
    expected = by_formula(plain, primaries, curve)
    np.testing.assert_allclose(read(avif(*codes)), expected, atol=0.1 * LEVEL)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (avif(9, 16), "BT.2020 with PQ"),
        (avif(1, 13).replace(b"colrnclx", b"freenclx"), "its colours are not named"),
        (avif(1, 13, exif=exif(65535, "R03")), "EXIF data says that its colours are Adobe RGB"),
    ],
)
def test_avif_colours_that_are_not_converted_are_told(data, message):
    with pytest.warns(UserWarning, match=message):
        reading.read(data)


def bmp_v5(kind, tail=b""):
    data = encode(Image.fromarray(smooth()), "BMP")
    pixels = data[54:]
    info = struct.pack("<I", 124) + data[18:54] + bytes(16) + kind + bytes(48)
    info += struct.pack("<4I", 4, 124 + len(pixels), len(tail), 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 138) + info + pixels + tail


def test_bmp_colours():
    icc = profile(gamma=1.8)
    expected = read(encode(Image.fromarray(smooth()), "PNG", icc_profile=icc))
    np.testing.assert_array_equal(read(bmp_v5(b"DEBM", icc)), expected)
    np.testing.assert_allclose(read(bmp_v5(b"BGRs")), smooth() / 255, atol=EXACT)
    with pytest.warns(UserWarning, match=r"by other means \(LINK\)"):
        reading.read(bmp_v5(b"KNIL"))


def test_bmp_of_few_greys_in_8_bits_is_refused():
    """Pillow would read its bytes as bits."""
    info = struct.pack("<IiiHHIIiiII", 40, 4, 1, 1, 8, 0, 4, 0, 0, 2, 0)
    data = b"BM" + struct.pack("<IHHI", 66, 0, 0, 62) + info + b"\0\0\0\0\xff\xff\xff\0" + b"\0\1\0\1"
    with pytest.raises(InputError, match="few greys in 8 bits a pixel"):
        reading.read(data)


def test_gif_profile_and_free_part():
    icc = profile(gamma=1.8)
    image = Image.fromarray(smooth()).quantize(16)
    data = encode(image, "GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    blocks = [icc[i : i + 255] for i in range(0, len(icc), 255)]
    extension = b"\x21\xff\x0bICCRGBG1012" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0"
    expected = read(encode(image, "PNG", icc_profile=icc))
    np.testing.assert_array_equal(read(data[:start] + extension + data[start:]), expected)
    larger = data[:6] + struct.pack("<HH", 40, 30) + data[10:]
    with pytest.warns(UserWarning, match="leaves a part free"):
        picture = reading.read(larger)
    assert picture.alpha[:24, :36].min() == 1
    assert picture.alpha[24:].max() == picture.alpha[:, 36:].max() == 0


def test_cmyk_jpeg_without_adobes_mark_is_read_alike_and_told():
    data = encode(Image.new("CMYK", (16, 16), (0, 200, 100, 20)), "JPEG")
    start = data.index(b"\xff\xee\0\x0eAdobe")
    with pytest.warns(UserWarning, match="no mark of Adobe's"):
        pixels = read(data[:start] + data[start + 16 :])
    np.testing.assert_array_equal(pixels, read(data))


def test_grey_profile_of_a_picture_whose_channels_are_equal():
    """AVIF's grey comes as three channels."""
    icc = profile(b"GRAY", 1.5)
    image = Image.fromarray(smooth()[..., 0])
    expected = read(encode(image, "PNG", icc_profile=icc))
    three = image.convert("RGB")
    np.testing.assert_array_equal(read(encode(three, "PNG", icc_profile=icc)), expected)


def test_srgb_profile_in_16_bits_changes_nothing():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = smooth() * np.uint16(257)
    tag = chunk(b"iCCP", b"x\0\0" + zlib.compress(icc))
    np.testing.assert_allclose(read(coloured_png(values, tag)), values / 65535, atol=0.1 * LEVEL)
