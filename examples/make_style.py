"""Paints the style pictures in examples/. NumPy and Pillow only.

Run it as `python examples/make_style.py [NAME] [OUTPUT]`, for example
`python examples/make_style.py woodcut woodcut.jpg`. Without a name it paints style.jpg. It takes
2 to 20 seconds and paints the same picture every time.
"""

import importlib
import io
import sys
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).resolve().parent

# Each painting in styles/, its file here and how many bytes it may take.
PAINTINGS = {
    "whirls": ("style.jpg", 350_000),
    "woodcut": ("woodcut.jpg", 150_000),
    "mosaic": ("mosaic.jpg", 150_000),
    "washes": ("washes.jpg", 150_000),
    "strokes": ("strokes.jpg", 150_000),
}


def jpeg(painting: Image.Image, limit: int) -> bytes:
    """The painting as a JPEG of at most `limit` bytes, at the best quality up to 88."""
    for quality in range(88, 20, -2):
        file = io.BytesIO()
        painting.save(file, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
        if file.tell() <= limit:
            return file.getvalue()
    raise ValueError(f"no quality gives a JPEG of at most {limit} bytes")


def main(arguments: list[str]) -> None:
    """Paints the named style and writes its file."""
    name = arguments.pop(0) if arguments and arguments[0] in PAINTINGS else "whirls"
    if len(arguments) > 1:
        sys.exit(f"usage: make_style.py [{'|'.join(PAINTINGS)}] [OUTPUT]")
    file, limit = PAINTINGS[name]
    target = Path(arguments[0]) if arguments else FOLDER / file
    target.write_bytes(jpeg(importlib.import_module(f"styles.{name}").paint(), limit))


if __name__ == "__main__":
    main(sys.argv[1:])
