"""Draws the masks of the README's examples: `python examples/make_masks.py`.

White is where a style goes. Ellipses of the pictures' own pixels, with soft borders.
"""

import pathlib

from PIL import Image, ImageDraw, ImageFilter

EXAMPLES = pathlib.Path(__file__).resolve().parent
Box = tuple[int, int, int, int]


def main() -> None:
    """Writes the masks."""
    # The cup and its saucer in coffee.jpg.
    draw("cup", (600, 400), [(72, 62, 482, 392), (174, 16, 412, 212)], 255, 0, border_px=3)
    # The face in chelsea.jpg, to be painted with four tenths of the strength.
    draw("face", (451, 300), [(90, 20, 410, 330)], 102, 255, border_px=12)
    ramp = Image.linear_gradient("L").rotate(90).resize((600, 400))
    ramp.save(EXAMPLES / "ramp.png", optimize=True)


def draw(
    name: str,
    size: tuple[int, int],
    ellipses: list[Box],
    inside: int,
    outside: int,
    *,
    border_px: float,
) -> None:
    """One mask of ellipses, each left, top, right and bottom in pixels."""
    mask = Image.new("L", size, outside)
    for box in ellipses:
        ImageDraw.Draw(mask).ellipse(box, fill=inside)
    mask.filter(ImageFilter.GaussianBlur(border_px)).save(EXAMPLES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
