"""Finished pictures side by side without names, for a look by eyes that do not know whose is whose."""

import html
import json
import pathlib
import string
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

MARGIN, CAPTION = 8, 16  # pixels, on a sheet


def write(
    pictures: Mapping[str, tuple[Sequence[pathlib.Path], Mapping[str, pathlib.Path]]],
    folder: pathlib.Path,
    key: pathlib.Path,
    seed: int,
) -> None:
    """Writes copies without names or metadata, blind.html, a sheet PAIR.png a pair, and the key.

    Args:
      pictures: Of each pair its photograph and painting, and its results by tool.
      folder: Where the pages go; nothing in it tells a tool.
      key: The JSON file that does: the tool by pair and letter. It should lie elsewhere.
      seed: Of the order, which is another one for each pair.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    keys, rows = {}, []
    for pair, (originals, results) in pictures.items():
        tools = sorted(results)
        rng.shuffle(tools)
        keys[pair] = dict(zip(string.ascii_uppercase, tools, strict=False))
        shown = dict(zip(("photograph", "painting"), originals, strict=True))
        shown.update({letter: results[tool] for letter, tool in keys[pair].items()})
        images = {}
        for caption, path in shown.items():
            images[caption] = Image.fromarray(np.asarray(Image.open(path).convert("RGB")))
            images[caption].save(folder / f"{pair}-{caption}.png")
        sheet(images).save(folder / f"{pair}.png")
        rows.append(_row(pair, list(images)))
    (folder / "blind.html").write_text(PAGE.format(rows="\n".join(rows)))
    key.write_text(json.dumps(keys, indent=2) + "\n")


def sheet(images: Mapping[str, Image.Image]) -> Image.Image:
    """The images from left to right, each under its caption."""
    width = sum(image.width + MARGIN for image in images.values()) + MARGIN
    height = max(image.height for image in images.values()) + CAPTION + 2 * MARGIN
    page = Image.new("RGB", (width, height), "white")
    draw, x = ImageDraw.Draw(page), MARGIN
    for caption, image in images.items():
        draw.text((x, MARGIN // 2), caption, fill="black")
        page.paste(image, (x, CAPTION + MARGIN))
        x += image.width + MARGIN
    return page


PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Which picture would you hang up?</title>
<style>
body {{ font: 16px sans-serif; margin: 1em; }}
section {{ display: flex; flex-wrap: wrap; gap: 1em; }}
figure {{ margin: 0; }}
</style>
<p>For each photograph and painting: which picture would you hang up? What is wrong with the others?</p>
{rows}
</html>
"""


def _row(pair: str, captions: Sequence[str]) -> str:
    figures = "\n".join(
        f'<figure><img src="{html.escape(pair)}-{caption}.png" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for caption in captions
    )
    return f"<h2>{html.escape(pair)}</h2>\n<section>\n{figures}\n</section>"
