"""How little photographs have of what the content loss compares: the least is the default preset's.

python benchmarks/emptiness.py --photographs FOLDER

Of each photograph at the coarsest size, the content loss at activations of 0 with a weight of 1.
"""

import argparse
import pathlib

import numpy as np
import results
import tensorflow as tf

from tf_style import PRESETS, Features, read_image
from tf_style.images.picture import resize
from tf_style.network.weights import load_for
from tf_style.transfer.margin import with_margin

PRESET = PRESETS["painterly"]
FLAT = {"white": 255, "light grey": 200, "grey": 127, "dark grey": 64, "black": 0}


def main() -> None:
    """Prints a table, the emptiest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=pathlib.Path, required=True, help="a folder of them")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    features = Features(PRESET, load_for(PRESET, "embedded"))
    found = {
        path.stem: content(features, read_image(path).pixels)
        for path in sorted(arguments.photographs.iterdir())
    }
    flat = {name: content(features, np.full((96, 128, 3), value / 255)) for name, value in FLAT.items()}
    lines = [__doc__.strip().splitlines()[-1], "", "| | |", "|---|---|"]
    lines += [f"| flat, {name} | {value:.1f} |" for name, value in flat.items()]
    count = len(found)
    values = np.sort(list(found.values()))
    lines += [
        f"| photograph {rank + 1} of {count} | {values[rank]:.1f} |"
        for rank in (0, 1, 2, count // 2, count - 1)
    ]
    results.report("emptiness", lines, write=arguments.write)


def content(features: Features, picture: np.ndarray) -> float:
    """Of a picture [height, width, 3] in 0..1."""
    height, width = picture.shape[:2]
    factor = PRESET.coarsest_side_px / np.sqrt(height * width)
    sized = 255 * resize(picture, round(factor * height), round(factor * width))
    activations = features(tf.constant(with_margin(sized, PRESET.margin_px)[np.newaxis], tf.float32))
    return sum(
        float(tf.reduce_sum(tf.square(activations[name])))
        * PRESET.content_scale(activations[name].shape[-1], np.prod(activations[name].shape[1:3]))
        for name in PRESET.content_layers
    )


if __name__ == "__main__":
    main()
