"""What the border does to a picture, by the margin that it has while it is optimised.

python benchmarks/border.py --images PAINTINGS --write

Border: of the outermost pixels, in rings from the border, the difference in mean colour from the rings
7 to 11 pixels inside, root mean square over the colours, in grey levels.
"""

import argparse
import dataclasses
import pathlib

import numpy as np
import quality_pairs
import results

from tf_style import PRESETS, stylize, write_image

RINGS = 4
INSIDE = range(6, 11)
MARGINS = (0, 8, 16, 24)


def main() -> None:
    """Prints a table, a line for each pair and margin."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--margins", type=int, nargs="*", default=MARGINS, help="in pixels")
    parser.add_argument("--pictures", type=pathlib.Path, help="a folder to keep them in")
    parser.add_argument(
        "--images", type=pathlib.Path, action="append", default=[], help="as of quality.py"
    )
    parser.add_argument("--pairs", nargs="*", help="of quality_pairs.py; all by default")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    lines = [f"Longer side {arguments.size} px.", "", *__doc__.strip().splitlines()[-2:], ""]
    rings = " | ".join(f"ring {ring + 1}" for ring in range(RINGS))
    lines += [f"| pair | margin | {rings} |", f"|{'---|' * (RINGS + 2)}"]
    preset = PRESETS["painterly"]
    for pair, content, style in quality_pairs.pairs(None, arguments.images, arguments.pairs):
        for margin in arguments.margins:
            PRESETS["painterly"] = dataclasses.replace(preset, margin_px=margin)
            result = stylize(str(content), str(style), size=arguments.size)
            if arguments.pictures:
                path = arguments.pictures / f"{pair}-{arguments.size}-{margin}.png"
                write_image(path, result.image)
            found = " | ".join(f"{each:.1f}" for each in differences(255 * result.image))
            lines.append(f"| {pair} | {margin} | {found} |")
    results.report("border", lines, write=arguments.write)


def differences(image: np.ndarray) -> list[float]:
    """Of each of the first rings, [height, width, 3] in 0..255."""
    inside = np.concatenate([ring(image, index) for index in INSIDE]).mean(axis=0)
    return [
        float(np.sqrt(np.square(ring(image, index).mean(axis=0) - inside).mean()))
        for index in range(RINGS)
    ]


def ring(image: np.ndarray, index: int) -> np.ndarray:
    """Its pixels that are so far from the border, [pixels, 3]."""
    height, width = image.shape[:2]
    rows, columns = slice(index, height - index), slice(index, width - index)
    return np.concatenate(
        [
            *(image[index, columns], image[height - 1 - index, columns]),
            *(image[rows, index], image[rows, width - 1 - index]),
        ]
    )


if __name__ == "__main__":
    main()
