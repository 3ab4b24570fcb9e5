"""Files of PNG, JPEG, WebP, AVIF, BMP and GIF: depths and layouts by what names their colours."""

import itertools
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from colours_samples import (
    ADOBE,
    BT2020,
    HEIGHT,
    P3,
    POWER,
    SRGB,
    WIDTH,
    Case,
    encode,
    packed,
    profile,
    samples,
)
from PIL import Image


def cases() -> Iterator[Case]:
    """All of them."""
    for make in (_pngs, _jpegs, _webps, _avifs, _bmps, _gifs):
        yield from make()


def exif(colour_space: int | None, index: str | None) -> bytes:
    """EXIF data of a colour space and an interoperability index."""
    data = Image.Exif()
    ifd = {0x9000: b"0231"} | ({0xA001: colour_space} if colour_space else {})
    if index:
        ifd[0xA005] = {1: index, 2: b"0100"}
    data[0x8769] = ifd
    return data.tobytes()


ADOBE_CURVE = (ADOBE, POWER)
EXIFS = {
    "sRGB": (exif(1, "R98"), None),
    "Adobe RGB": (exif(65535, "R03"), ADOBE_CURVE),
    "Adobe RGB by 2": (exif(2, None), ADOBE_CURVE),
    "uncalibrated": (exif(65535, None), None),
}


# PNG --------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pngs():
    def chrm(points):
        return chunk(b"cHRM", struct.pack(">8I", *(round(100000 * each) for each in points)))

    def gama(value):
        return chunk(b"gAMA", struct.pack(">I", value))

    def iccp(primaries, gamma):
        return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile(primaries, gamma)))

    srgb, cicp = chunk(b"sRGB", b"\0"), b"cICP"
    tags = {
        "": (b"", None),
        "sRGB over gAMA": (srgb + gama(100000), None),
        "gAMA 0.45455 cHRM sRGB": (gama(45455) + chrm(SRGB), None),
        "gAMA 1": (gama(100000), (SRGB, 1.0)),
        "gAMA 1/1.8": (gama(55556), (SRGB, 1 / 0.55556)),
        "gAMA cHRM Adobe": (gama(45455) + chrm(ADOBE), (ADOBE, 1 / 0.45455)),
        "gAMA cHRM P3 linear": (gama(100000) + chrm(P3), (P3, 1.0)),
        "cHRM alone": (chrm(P3), (P3, "sRGB")),
        "gAMA 0": (gama(0), None),
        "cHRM 0": (gama(100000) + chrm([0.3] * 8), None),
        "cICP sRGB over gAMA": (chunk(cicp, b"\1\15\0\1") + gama(100000), None),
        "cICP BT.709": (chunk(cicp, b"\1\1\0\1"), None),
        "cICP P3": (chunk(cicp, b"\14\15\0\1"), (P3, "sRGB")),
        "cICP BT.2020": (chunk(cicp, b"\11\16\0\1"), (BT2020, "BT.709")),
        "cICP linear P3": (chunk(cicp, b"\14\10\0\1"), (P3, 1.0)),
        "cICP PQ": (chunk(cicp, b"\11\20\0\1"), None),
        "cICP HLG": (chunk(cicp, b"\11\22\0\1"), None),
        "cICP narrow range": (chunk(cicp, b"\1\15\0\0"), None),
        "cICP P3 over iCCP": (chunk(cicp, b"\14\15\0\1") + iccp(ADOBE, POWER), (P3, "sRGB")),
        "iCCP": (iccp(ADOBE, POWER), (ADOBE, POWER)),
        "iCCP linear P3": (iccp(P3, 1.0), (P3, 1.0)),
        "iCCP grey": (iccp(None, 1.5), (SRGB, 1.5)),
        "iCCP damaged": (chunk(b"iCCP", b"x\0\0damaged"), None),
    }
    tags |= {f"EXIF {n}": (chunk(b"eXIf", e[6:]), numbers) for n, (e, numbers) in EXIFS.items()}
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    for kind, (what, (named, said)), is_keyed in itertools.product(depths, tags.items(), (False, True)):
        for bits in depths[kind]:
            values = samples(channels[kind], bits)
            palette = samples(3, 8, 1).reshape(-1, 3)[: 2**bits].astype(np.uint8)
            extra = chunk(b"PLTE", palette.tobytes()) if kind == 3 else b""
            if is_keyed:
                if kind in (4, 6):
                    continue
                key = bytes([0, 128, 255][: 2**bits]) if kind == 3 else None
                # The last pixel of the first row, and in RGB of 16 bits no other with its upper bytes.
                colour = values[0, -1].astype(">u2").tobytes()
                values[1, 0] = values[0, -1] ^ 1
                extra += chunk(b"tRNS", key or colour)
            if values.max() >= len(palette) and kind == 3:
                values = values % len(palette)
            head = chunk(b"IHDR", struct.pack(">2I5B", WIDTH, HEIGHT, bits, kind, 0, 0, 0))
            rows = packed(values, bits, ">")
            stride = len(rows) // HEIGHT
            raw = b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(HEIGHT))
            body = chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
            data = b"\x89PNG\r\n\x1a\n" + head + named + extra + body
            yield Case("PNG", f"type {kind}, {bits} bits, {what}, key {is_keyed}", data, said)


# JPEG, WebP, AVIF -------------------------------------------------------------------------------


def _image(mode: str) -> Image.Image:
    channels = len(mode)
    y, x = np.mgrid[0:64, 0:64]
    # In no corner of the gamut, where a level that lossy decoders differ by becomes many.
    ramps = [110 + 25 * x / 63, 110 + 25 * y / 63, 115 + 20 * (x + y) / 126, 200 - x]
    values = np.stack(ramps[:channels], axis=-1).round().astype(np.uint8)
    return Image.fromarray(np.squeeze(values), mode)


def _tagged(format, image, **options):
    yield "", encode(image, format, **options), None
    icc = profile(None, 1.5) if image.mode == "L" else profile(ADOBE, POWER)
    numbers = (SRGB, 1.5) if image.mode == "L" else (ADOBE, POWER)
    if image.mode != "CMYK":
        yield "profile", encode(image, format, icc_profile=icc, **options), numbers
    yield "damaged profile", encode(image, format, icc_profile=b"damaged" * 30, **options), None
    for name, (data, numbers) in EXIFS.items():
        if numbers is None or image.mode != "CMYK":
            yield f"EXIF {name}", encode(image, format, exif=data, **options), numbers


def _jpegs():
    for mode, subsampling, progressive in itertools.product(
        ("L", "RGB", "CMYK"), (0, 2), (False, True)
    ):
        options = {"quality": 95, "subsampling": subsampling, "progressive": progressive}
        for what, data, numbers in _tagged("JPEG", _image(mode), **options):
            yield Case("JPEG", f"{mode} {subsampling} {progressive} {what}", data, numbers)
            if mode == "CMYK":
                start = data.index(b"\xff\xee\0\x0eAdobe")
                bare = data[:start] + data[start + 16 :]
                yield Case("JPEG", f"{mode} without Adobe's marker {what}", bare, numbers)
    yield Case("JPEG", "RGB kept", encode(_image("RGB"), "JPEG", quality=95, keep_rgb=True))


def _webps():
    for mode, lossless in itertools.product(("RGB", "RGBA", "L"), (False, True)):
        image = _image(mode) if mode != "L" else _image("L").convert("RGB")
        options = {"lossless": lossless, "quality": 95, "exact": True}
        for what, data, numbers in _tagged("WEBP", image, **options):
            yield Case("WEBP", f"{mode} lossless {lossless} {what}", data, numbers)


def _avifs():
    names = {(1, 13): None, (1, 1): None, (9, 16): None, (9, 18): None, (2, 2): None, (10, 13): None}
    names |= {(12, 13): (P3, "sRGB"), (9, 14): (BT2020, "BT.709"), (9, 13): (BT2020, "sRGB")}
    names |= {(1, 8): (SRGB, 1.0), (1, 4): (SRGB, 2.2), (12, 1): (P3, "BT.709")}
    for mode, subsampling in itertools.product(("L", "RGB", "RGBA"), ("4:4:4", "4:2:0")):
        options = {"quality": 95, "subsampling": "4:0:0" if mode == "L" else subsampling}
        if subsampling == "4:2:0":
            # Decoders are free in how they bring colours to full size, and tags make more of it.
            yield Case("AVIF", f"{mode} {subsampling}", encode(_image(mode), "AVIF", **options))
            continue
        for what, data, numbers in _tagged("AVIF", _image(mode), **options):
            numbers = None if "EXIF" in what else numbers  # The container says sRGB.
            yield Case("AVIF", f"{mode} {subsampling} {what}", data, numbers)
        plain = encode(_image(mode), "AVIF", **options)
        start = plain.index(b"colrnclx") + 8
        for pair, numbers in names.items():
            data = plain[:start] + struct.pack(">HH", *pair) + plain[start + 4 :]
            yield Case("AVIF", f"{mode} {subsampling} nclx {pair}", data, numbers)
        bare = plain.replace(b"colrnclx", b"freenclx")
        yield Case("AVIF", f"{mode} {subsampling} without nclx", bare)


# BMP, GIF ---------------------------------------------------------------------------------------


def bmp(
    rows: bytes, bits: int, *, header=40, masks=(), space=b"", palette=b"", up=True, tail=b"", packed=0
):
    """A BMP file; `space` is the part of a V4 or V5 header from its kind on."""
    height = HEIGHT if up else -HEIGHT
    info = struct.pack(
        "<IiiHHIIiiII",
        header,
        WIDTH,
        height,
        1,
        bits,
        packed or 3 * bool(masks),
        len(rows),
        0,
        0,
        len(palette) // 4,
        0,
    )
    if header == 12:
        info = struct.pack("<IHHHH", header, WIDTH, HEIGHT, 1, bits)
    if masks:
        info += struct.pack(f"<{len(masks)}I", *masks)
    elif header >= 108:
        info += bytes(16)
    info = (info + space).ljust(header, b"\0")
    start = 14 + len(info) + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(rows) + len(tail), 0, 0, start)
    return head + info + palette + rows + tail


def _bmps():
    def rows(values, bits, *, up=True):
        octets = np.frombuffer(packed(values, bits, "<"), np.uint8).reshape(HEIGHT, -1)
        octets = np.pad(octets, ((0, 0), (0, -octets.shape[1] % 4)))
        return octets[:: -1 if up else 1].tobytes()

    for bits, seed in itertools.product((1, 4, 8), (1, 2)):
        values = samples(1, bits)
        colours = samples(3, 8, seed).reshape(-1, 3)[: 2**bits]
        quads = np.insert(colours[:, ::-1], 3, 0, axis=1).astype(np.uint8).tobytes()
        triples = colours[:, ::-1].astype(np.uint8).tobytes()
        truth = colours[values[..., 0]] / 255
        yield Case("BMP", f"{bits} bits", bmp(rows(values, bits), bits, palette=quads), truth=truth)
        data = bmp(rows(values, bits), bits, palette=triples, header=12)
        yield Case("BMP", f"OS/2, {bits} bits", data, truth=truth)
    greys = {1: (0, 255), 4: range(16), 8: range(256)}
    for bits, used in itertools.product((1, 4, 8), greys):
        if used > bits:
            continue
        levels = np.array(greys[used], np.uint8)
        values = samples(1, bits) % len(levels)
        quads = np.insert(np.repeat(levels[:, None], 3, axis=1), 3, 0, axis=1).tobytes()
        truth = np.repeat(levels[values], 3, axis=2) / 255
        data = bmp(rows(values, bits), bits, palette=quads)
        yield Case("BMP", f"{bits} bits, {len(levels)} greys", data, truth=truth)
    rgb = samples(3, 8)
    plain = rows(rgb[..., ::-1], 8)
    yield Case("BMP", "24 bits", bmp(plain, 24), truth=rgb / 255)
    flipped = rows(rgb[..., ::-1], 8, up=False)
    yield Case("BMP", "24 bits from the top", bmp(flipped, 24, up=False), truth=rgb / 255)
    for kind, more in (
        (b"BGRs", b""),
        (b" niW", b""),
        (bytes(4), b""),
        (bytes(4), b"\1" * 48),
        (b"KNIL", b""),
    ):
        for header in (108, 124):
            data = bmp(plain, 24, header=header, space=kind + more)
            yield Case("BMP", f"V{header} {kind} {more[:1]}", data, truth=rgb / 255)
    icc = profile(ADOBE, POWER)
    space = b"DEBM" + bytes(48) + struct.pack("<3I", 4, 124 + len(plain), len(icc))
    data = bmp(plain, 24, header=124, space=space, tail=icc)
    yield Case("BMP", "V5 with a profile", data, (ADOBE, POWER), rgb / 255)
    for masks in ((0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F), ()):
        widths = [bin(mask).count("1") for mask in masks or (0x7C00, 0x3E0, 0x1F)]
        parts = [samples(3, width)[..., i] for i, width in enumerate(widths)]
        values = parts[0] << widths[1] + widths[2] | parts[1] << widths[2] | parts[2]
        truth = np.stack([p / (2**w - 1) for p, w in zip(parts, widths, strict=True)], axis=-1)
        data = bmp(rows(values[..., None], 16), 16, masks=masks)
        yield Case("BMP", f"16 bits {widths} {bool(masks)}", data, truth=truth)
    rgba = samples(4, 8)
    for shifts in ((16, 8, 0, 24), (0, 8, 16, 24), (24, 16, 8, 0)):
        values = sum(rgba[..., i] << shift for i, shift in enumerate(shifts))
        masks = [0xFF << shift for shift in shifts]
        data = bmp(rows(values[..., None], 32), 32, header=108, masks=masks, space=b"BGRs")
        yield Case("BMP", f"32 bits {shifts}", data, truth=rgba / 255)
        data = bmp(rows(values[..., None], 32), 32, masks=masks[:3])
        yield Case("BMP", f"32 bits {shifts} without alpha", data, truth=rgba[..., :3] / 255)
    masks = (0x3FF00000, 0xFFC00, 0x3FF)
    yield Case("BMP", "10 bits", bmp(rows(values[..., None], 32), 32, masks=masks), truth=rgb / 255)


def _gifs():
    for mode, transparency in itertools.product(("P", "L", "1"), (None, 5)):
        image = _image("RGB").quantize(64) if mode == "P" else _image("L").convert(mode)
        options = {} if transparency is None or mode == "1" else {"transparency": transparency}
        data = encode(image, "GIF", **options)
        yield Case("GIF", f"{mode} {options}", data)
        icc = profile(ADOBE, POWER)
        blocks = [icc[i : i + 255] for i in range(0, len(icc), 255)]
        extension = b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
        start = 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0)
        extension = b"\x21\xff\x0bICCRGBG1012" + extension
        yield Case(
            "GIF", f"{mode} {options} profile", data[:start] + extension + data[start:], (ADOBE, POWER)
        )
        larger = data[:6] + struct.pack("<HH", 80, 70) + data[10:]
        yield Case("GIF", f"{mode} {options} smaller than its screen", larger)
    frames = [_image("RGB").quantize(16), _image("RGB").rotate(90).quantize(16)]
    yield Case("GIF", "two frames", encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
