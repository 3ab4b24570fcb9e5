"""Makes the README's pictures, from those in this folder: `python examples/make_gallery.py`.

Each takes a minute on two cores. They are written as JPEG of at most 150 KB into docs/gallery.
"""

import pathlib
import sys

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tf_style  # noqa: E402

EXAMPLES, GALLERY = ROOT / "examples", ROOT / "docs" / "gallery"
MAX_BYTES = 150_000
SIDE = 320
PAIRS = (("chelsea", "style"), ("chelsea", "mosaic"), ("coffee", "strokes"), ("coffee", "woodcut"))
STRENGTHS = (0.2, 0.5, 0.8)
PRESETS = ("painterly", "gatys2016", "gatys-original", "pastiche")
COLOURS = ("luminance", "match", "histogram")


def main() -> None:
    """Renders the rows."""
    GALLERY.mkdir(parents=True, exist_ok=True)
    for content, style in PAIRS:
        pictures = [load(content), load(style), render(content, style)]
        save(pictures, f"{content}-{style}")
    save([render("chelsea", "washes", strength=strength) for strength in STRENGTHS], "strengths")
    save([render("chelsea", "style", preset=preset) for preset in PRESETS], "presets")
    save([render("coffee", "style", keep_colors=way) for way in (None, *COLOURS)], "colours")
    cup = tf_style.Masks((path("cup.png"), 1 - tf_style.read_image(path("cup.png")).pixels))
    save(
        [
            render("coffee", "strokes", "mosaic", masks=cup),
            render("coffee", "style", masks=tf_style.Masks((path("cup.png"),))),
            render("coffee", "woodcut", "strokes", masks=tf_style.Masks(blend=(path("ramp.png"),))),
            render("chelsea", "style", masks=tf_style.Masks(strength=path("face.png"))),
        ],
        "regions",
    )
    parts = {"style_part": ("coarse", "fine")}
    save(
        [
            render("chelsea", "mosaic", "style", **parts),
            render("chelsea", "style", "mosaic", **parts),
            render("chelsea", "style", style_scale=0.5),
            render("chelsea", "style", style_scale=2.0),
        ],
        "scales",
    )


def path(name: str) -> str:
    """A file of this folder."""
    return str(EXAMPLES / name)


def load(name: str) -> np.ndarray:
    """An example, float32 [height, width, 3] in 0..1."""
    return tf_style.read_image(EXAMPLES / f"{name}.jpg").pixels


def render(content: str, *styles: str, **settings) -> np.ndarray:
    """One picture of the gallery."""
    paintings = [path(f"{style}.jpg") for style in styles]
    return tf_style.stylize(path(f"{content}.jpg"), paintings, size=SIDE, **settings).image


def save(pictures: list[np.ndarray], name: str) -> None:
    """Writes pictures side by side, at one height, in the best quality that fits."""
    height = min(picture.shape[0] for picture in pictures)
    images = [Image.fromarray(np.uint8(np.rint(255 * picture))) for picture in pictures]
    widths = [round(image.width * height / image.height) for image in images]
    row = Image.new("RGB", (sum(widths) + 8 * (len(widths) - 1), height), "white")
    left = 0
    for image, width in zip(images, widths, strict=True):
        row.paste(image.resize((width, height), Image.Resampling.LANCZOS), (left, 0))
        left += width + 8
    file = GALLERY / f"{name}.jpg"
    quality = 93
    row.save(file, quality=quality, optimize=True)
    while file.stat().st_size > MAX_BYTES:
        quality -= 2
        row.save(file, quality=quality, optimize=True)
    print(f"{file.relative_to(ROOT)}: {row.width} x {row.height}, quality {quality}", flush=True)


if __name__ == "__main__":
    main()
