"""Pictures of every kind that our formats have, against an independent reader.

pip install 'pyvips[binary]' tifffile imagecodecs
python benchmarks/colours.py [--verbose] [--write]

`colours_tiff.py` and `colours_files.py` make the files. TIFF is read by tifffile, all else by libvips,
but for BMP, where what went in is known. Photometric interpretations, primaries and curves are
arithmetic here, and so are profiles, which are all of matrices and curves: in 16 bits Little CMS would
put tables in their place that are 9 levels off in the dark. A file is read right if no pixel differs by
more than 2 levels of 255, on white. One warning is right too, and so is a refusal that names the kind.
"""

import argparse
import collections
import io
import itertools
import warnings

import colours_files
import colours_samples
import colours_tiff
import numpy as np
import pyvips
import results
import tifffile

from tf_style import InputError
from tf_style.images import reading

LEVELS = 2.001  # Roundings to float32 on top.
CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
OUTCOMES = ("within 2 levels", "warned", "refused", "wrong")


def outcome(case: colours_samples.Case) -> tuple[str, str]:
    """What comes of a file, and details: the difference in levels, or what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = 255 * reading.read(case.data).pixels
        except InputError as error:
            # On purpose: no file of these is damaged.
            is_meant = " is not read: " in str(error) or "Unsupported" in str(error)
            return ("refused" if is_meant else "wrong"), str(error)
        except Exception as error:
            return "wrong", f"{type(error).__name__}: {error}"
    said = [str(each.message) for each in caught]
    if len(said) > 1 or "\n" in "".join(said):
        return "wrong", f"said {said}"
    try:
        expected = 255 * reference(case)
        difference = np.abs(found - expected).max() if found.shape == expected.shape else np.inf
    except Exception as error:  # Only what was warned of may be beyond the other reader.
        return (
            "warned" if said else "wrong"
        ), f"{said}, the reference: {type(error).__name__}: {error}"
    if said:
        return "warned", f"{said[0]} ({difference:.1f} levels)"
    return ("within 2 levels" if difference <= LEVELS else "wrong"), f"{difference:.1f} levels"


def reference(case: colours_samples.Case) -> np.ndarray:
    """What the file shows on white, sRGB [height, width, 3] in 0..1."""
    space, values, alpha = _samples(case)
    if space == "LAB":
        rgb = _from_lab(values)
    elif space == "CMYK":
        rgb = (1 - values[..., :3]) * (1 - values[..., 3:])
    else:
        rgb = np.repeat(values, 3, axis=2) if space == "GRAY" else values
        if case.numbers:
            rgb = _by_numbers(rgb, *case.numbers, is_grey=space == "GRAY")
    return rgb * alpha + 1 - alpha


def _samples(case):
    """The colour space, samples [height, width, channels] in 0..1 and alpha [height, width, 1]."""
    if case.truth is not None:
        return _split(case.truth, case.truth.shape[2] in (2, 4))
    if case.format == "TIFF":
        return _tiff(case.data)
    image = pyvips.Image.new_from_buffer(case.data, "")
    has_alpha = image.hasalpha()
    values = image.numpy()
    if values.ndim == 2:
        values = values[..., None]
    depth = {np.uint8: 255, np.uint16: 65535}[values.dtype.type]
    if case.format == "AVIF" and values.dtype == np.uint16:
        depth = 2 ** image.get("bits-per-sample") - 1
    values = values / depth
    if image.interpretation == "cmyk":
        return "CMYK", values, 1
    return _split(values, has_alpha)


def _split(values, has_alpha):
    colours, alpha = (values[..., :-1], values[..., -1:]) if has_alpha else (values, 1)
    return ("RGB" if colours.shape[2] == 3 else "GRAY"), colours, alpha


def _tiff(data):
    """Samples by tifffile, and what TIFF 6.0 says that they mean."""
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    values, tags = page.asarray(), {tag.code: tag.value for tag in page.tags}
    values = values[..., None] if values.ndim == 2 else values
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        values = np.moveaxis(values, 0, -1)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    bits, kind = page.bitspersample, page.photometric
    if kind == 6 and page.compression in (6, 7):
        kind = 2  # Already converted, by libjpeg.
    extra = np.ravel(tags.get(338, ())).tolist()
    scaled = values / (1 if values.dtype.kind == "f" else 2**bits - 1)
    alpha = 1
    colours = values.shape[2] - len(extra)
    if extra and extra[0] in (1, 2):
        alpha = scaled[..., colours : colours + 1]
    if kind == 3:
        table = np.reshape(tags[320], (3, -1))
        table = (table if table.max() < 256 else table >> 8) / 255
        return "RGB", table[:, values[..., 0]].transpose(1, 2, 0), alpha
    scaled = scaled[..., :colours]
    if extra[:1] == [1]:
        scaled = np.minimum(scaled / np.maximum(alpha, 1e-9), 1) * (alpha > 0)
    if kind == 8:
        signed = values[..., 1:3].astype(np.int8)
        return "LAB", np.concatenate([scaled[..., :1] * 100, signed], axis=-1), alpha
    names = {0: "GRAY", 1: "GRAY", 2: "RGB", 5: "CMYK"}
    return names[int(kind)], (1 - scaled if kind == 0 else scaled), alpha


def _matrix(primaries):
    points = np.reshape(primaries, (4, 2))
    points = np.column_stack([points, 1 - points.sum(axis=1)])
    white = points[0] / points[0, 1]
    return points[1:].T * np.linalg.solve(points[1:].T, white), white


def _adapted(white, to):
    return np.linalg.inv(CONES) @ np.diag((CONES @ to) / (CONES @ white)) @ CONES


def _encoded(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _by_numbers(rgb, primaries, curve, *, is_grey):
    if curve == "sRGB":
        light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    elif curve == "BT.709":
        light = np.where(rgb < 0.081, rgb / 4.5, ((rgb + 0.099) / 1.099) ** (1 / 0.45))
    else:
        light = rgb**curve
    if is_grey:
        return _encoded(light)
    matrix, white = _matrix(primaries)
    srgb, d65 = _matrix(colours_samples.SRGB)
    return _encoded(light @ (np.linalg.inv(srgb) @ _adapted(white, d65) @ matrix).T)


def _from_lab(lab):
    lightness, a, b = np.moveaxis(lab, -1, 0)
    y = (lightness + 16) / 116
    t = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    d50 = np.array([0.9642, 1.0, 0.8249])
    xyz = np.where(t > 6 / 29, t**3, 3 * (6 / 29) ** 2 * (t - 4 / 29)) * d50
    srgb, d65 = _matrix(colours_samples.SRGB)
    return _encoded(xyz @ (np.linalg.inv(srgb) @ _adapted(d50, d65)).T)


def main() -> None:
    """Prints the table, and with --verbose each file."""
    parser = argparse.ArgumentParser(description="Colours of many kinds of files.")
    parser.add_argument("--verbose", action="store_true", help="a line for each file")
    parser.add_argument("--only", default="", help="files whose line has this in it")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    arguments = parser.parse_args()
    counts = collections.defaultdict(collections.Counter)
    for case in itertools.chain(colours_tiff.cases(), colours_files.cases()):
        if arguments.only not in f"{case.format} {case.what}":
            continue
        result, details = outcome(case)
        counts[case.format][result] += 1
        if arguments.verbose or result == "wrong":
            print(f"{result}: {case.format} {case.what}: {details}")
    lines = ["| format | files | " + " | ".join(OUTCOMES) + " |", "|---" * (2 + len(OUTCOMES)) + "|"]
    counts["all"] = sum(counts.values(), collections.Counter())
    for name, each in counts.items():
        cells = [str(each[result]) for result in OUTCOMES]
        lines.append(f"| {name} | {each.total()} | " + " | ".join(cells) + " |")
    print("\n".join(lines))
    if arguments.write:
        results.replace_section("colours", "\n".join([results.machine(), "", *lines]))


if __name__ == "__main__":
    main()
