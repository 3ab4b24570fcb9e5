"""The pictures in examples/."""

import runpy
from pathlib import Path

import numpy as np

from tf_style.images import reading

LEVEL = 1 / 255
EXAMPLES = Path(__file__).parents[1] / "examples"


def test_examples_are_small_and_readable():
    pictures = sorted(EXAMPLES.glob("*.jpg"))
    assert [path.stem for path in pictures] == ["chelsea", "coffee", "style"]
    for path in pictures:
        assert path.stat().st_size < 350_000
        picture = reading.read(path)
        assert max(picture.height, picture.width) <= 1024


def test_the_style_is_what_its_script_paints():
    painted = runpy.run_path(str(EXAMPLES / "make_style.py"))["paint"]()
    difference = np.abs(np.asarray(painted) / 255 - reading.read(EXAMPLES / "style.jpg").pixels)
    # JPEG at quality 88 of a rough picture: measured 5 levels in the mean, 20 at 99 percent.
    assert difference.mean() < 8 * LEVEL
    assert np.quantile(difference, 0.99) < 30 * LEVEL
