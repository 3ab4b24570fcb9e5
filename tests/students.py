"""A small student for tests, and photographs to train one on."""

import pathlib

import numpy as np
from PIL import Image

from tf_style.student.network import Network
from tf_style.student.shape import Shape
from tf_style.student.stored import StoredStudent, save

ROOT = pathlib.Path(__file__).parent.parent
STYLE = str(ROOT / "examples" / "style.jpg")
# As flags and as fields of `Plan`: seconds on two cores.
SMALL = {
    "size": 32,
    "crop": 32,
    "batch": 1,
    "channels": 4,
    "blocks": 1,
    "style_layers": ("conv1_1", "conv2_1"),
}


def write_photographs(folder: pathlib.Path, count: int = 8) -> pathlib.Path:
    """Cuttings of a photograph, in a new folder."""
    folder.mkdir()
    with Image.open(ROOT / "examples" / "chelsea.jpg") as photograph:
        for index in range(count):
            left = 20 * index
            photograph.crop((left, left // 2, left + 120, left // 2 + 90)).save(folder / f"{index}.png")
    return folder


def untrained(num_styles: int = 1, *, dial: bool = False) -> StoredStudent:
    """A student with random weights that changes every picture, each style and strength another way."""
    shape = Shape(channels=4, blocks=1, num_styles=num_styles)
    arrays = Network(shape).arrays()
    random = np.random.default_rng(0)
    for name, array in arrays.items():
        if "normalization" in name or name.startswith("convolution_07"):
            arrays[name] = np.float32(0.3 * random.standard_normal(array.shape))
    return StoredStudent(
        arrays=arrays,
        channels=4,
        blocks=1,
        styles=tuple(f"{index}.jpg" for index in range(num_styles)),
        size=64,
        dial=dial,
        strength=0.5,
        steps=0,
    )


def write_untrained(folder: pathlib.Path, num_styles: int = 1, *, dial: bool = False) -> pathlib.Path:
    """The same in a new folder."""
    folder.mkdir(parents=True)
    save(untrained(num_styles, dial=dial), folder)
    return folder
