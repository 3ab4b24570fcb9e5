"""TIFF files: photometric interpretations by bits, planes, orders, packings, channels and tags."""

import itertools
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from colours_samples import ADOBE, POWER, SRGB, Case, encode, packed, profile, samples
from PIL import Image

REVERSED_BITS = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def tiff(
    values, bits, photometric, *, order="<", planar=1, fill=1, packing=1, form=1, extra=(), tags=None
):
    """A TIFF file of one strip a plane. `values` are [height, width, channels] of unsigned integers."""
    height, width, channels = values.shape
    planes = [values[..., i : i + 1] for i in range(channels)] if planar == 2 else [values]
    strips = [packed(plane, bits, order) for plane in planes]
    if packing == 8:
        strips = [zlib.compress(strip) for strip in strips]
    if fill == 2:  # Of what is stored, which is how libtiff has it.
        strips = [strip.translate(REVERSED_BITS) for strip in strips]
    entries = {256: [width], 257: [height], 258: [bits] * channels, 259: [packing], 262: [photometric]}
    entries |= {266: [fill], 277: [channels], 278: [height], 279: [len(s) for s in strips]}
    entries |= {284: [planar], 339: [form] * channels}
    entries |= ({338: list(extra)} if extra else {}) | (tags or {})
    entries = {tag: each for tag, each in entries.items() if each is not None}
    entries[273] = [0] * len(strips)
    start = 8 + 2 + 12 * len(entries) + 4
    for _ in range(2):  # The second time with the strips' places.
        directory, body = struct.pack(order + "H", len(entries)), b""
        for tag, each in sorted(entries.items()):
            is_bytes, is_long = isinstance(each, bytes), tag in (273, 279)
            kind = 7 if is_bytes else 4 if is_long else 3
            data = (
                each if is_bytes else struct.pack(f"{order}{len(each)}{'I' if is_long else 'H'}", *each)
            )
            place = data.ljust(4, b"\0")
            if len(data) > 4:
                place = struct.pack(order + "I", start + len(body))
                body += data + bytes(len(data) % 2)
            directory += struct.pack(order + "HHI", tag, kind, len(each)) + place
        places = itertools.accumulate([len(s) for s in strips[:-1]], initial=start + len(body))
        entries[273] = list(places)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + directory + bytes(4) + body + b"".join(strips)


def cases() -> Iterator[Case]:
    """TIFF files of our own, then Pillow's."""
    yield from _tiffs()
    yield from _pillow_tiffs()


def _tiffs():
    tagged = {kind: [(SRGB, 1.0)] for kind in (0, 1)} | {2: [(ADOBE, POWER), (SRGB, 1.0)]}
    layouts = list(itertools.product("<>", (1, 2), (1, 2), (1, 8)))
    kinds = {0: ("white is 0", 1), 1: ("grey", 1), 2: ("RGB", 3), 3: ("palette", 1), 5: ("CMYK", 4)}
    kinds |= {6: ("YCbCr", 3), 8: ("CIELab", 3), 9: ("ICCLab", 3), 32844: ("LogL", 1), 4: ("mask", 1)}
    for (kind, (name, colours)), bits in itertools.product(kinds.items(), (1, 2, 4, 8, 12, 16, 32)):
        extras = [(), (1,), (2,), (0,)] if bits in (8, 16) and kind in (0, 1, 2, 3, 5) else [()]
        for extra, (order, planar, fill, packing) in itertools.product(extras, layouts):
            channels = colours + len(extra)
            if (planar == 2 and channels == 1) or (fill == 2 and bits in (16, 32)):
                continue
            values, tags = samples(channels, bits), {}
            if kind == 3:
                if bits > 8:
                    continue
                tags[320] = samples(3, 16, 1).reshape(-1, 3)[: 2**bits].T.ravel().tolist()
                tags[320] = (tags[320] + [0] * 3 * 2**bits)[: 3 * 2**bits]
            if extra == (1,):
                values[..., :-1] = (
                    values[..., :-1].astype(np.uint64) * values[..., -1:] // (2**bits - 1)
                )
            options = {
                "order": order,
                "planar": planar,
                "fill": fill,
                "packing": packing,
                "extra": extra,
            }
            what = f"{name} {bits} bits, extra {extra}, {order} planar {planar} fill {fill}, {packing}"
            data = tiff(values, bits, kind, tags=tags, **options)
            yield Case("TIFF", what, data)
            for primaries, gamma in tagged.get(kind, ()) if fill == 1 else ():
                icc = profile(primaries if kind == 2 else None, gamma)
                data = tiff(values, bits, kind, tags=tags | {34675: icc}, **options)
                yield Case("TIFF", f"{what}, profile of {gamma}", data, (primaries, gamma))
    eight = samples(1, 8)
    for order in "<>":
        colours = samples(3, 8, 1).reshape(-1, 3)[:256].T.ravel().tolist()
        yield Case("TIFF", "palette of 8 bits", tiff(eight, 8, 3, order=order, tags={320: colours}))
        for form, bits in itertools.product((2, 3, 4), (8, 16, 32)):
            for kind in (0, 1):
                data = tiff(samples(1, bits), bits, kind, order=order, form=form)
                yield Case("TIFF", f"photometric {kind}, format {form}, {bits} bits", data)
            data = tiff(samples(3, bits), bits, 2, order=order, form=form)
            yield Case("TIFF", f"RGB, format {form}, {bits} bits", data)
        floats = (samples(1, 16) / 65535).astype("<f4").view("<u4")
        for kind in (0, 1):
            data = tiff(floats, 32, kind, order=order, form=3)
            yield Case("TIFF", f"floats, photometric {kind}, {order}", data)
    four = samples(4, 8)
    others = {"without extra": {338: None}, "Corel's": {338: [999]}}
    for what, tags in others.items():
        yield Case("TIFF", what, tiff(four, 8, 2, extra=(2,), tags=tags))
    yield Case("TIFF", "other inks", tiff(four, 8, 5, tags={332: [2]}))
    yield Case("TIFF", "no photometric", tiff(eight, 8, 1, tags={262: None}))
    for tag, value in ((254, [1]), (50706, b"\1\4\0\0")):
        yield Case("TIFF", f"raw by {tag}", tiff(samples(3, 8), 8, 2, tags={tag: value}))
    rational = struct.pack("<4I", 3127, 10000, 329, 1000)
    yield Case("TIFF", "white point", tiff(samples(3, 8), 8, 2, tags={318: rational}))


def _pillow_tiffs():
    modes = {"1": 1, "L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4, "LA": 2}
    packings = ["packbits", "jpeg", "webp", "group3", "group4", "tiff_ccitt"]
    predicted = ["tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"]
    choices = [(packing, 1) for packing in packings + predicted] + [
        (packing, 2) for packing in predicted
    ]
    for (mode, channels), (packing, predictor) in itertools.product(modes.items(), choices):
        values = np.squeeze(samples(channels, 8).astype(np.uint8))
        image = Image.fromarray(values > 127) if mode == "1" else Image.fromarray(values, mode)
        if (mode == "1") != (packing in ("group3", "group4", "tiff_ccitt")) and mode == "1":
            continue
        try:
            data = encode(image, "TIFF", compression=packing, tiffinfo={317: predictor})
        except OSError:
            continue
        yield Case("TIFF", f"Pillow's {mode}, {packing}, predictor {predictor}", data)
