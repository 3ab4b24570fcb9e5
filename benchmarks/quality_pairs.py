"""Photographs and paintings to try, by name."""

import importlib.util
import json
import pathlib
import sys
from collections.abc import Collection, Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The photograph and the painting of each pair. A file is looked for in the folders given, in examples/
# and among scikit-image's pictures where that is installed; a pair that lacks one is left out.
PAIRS = {
    "chelsea-style": ("chelsea.jpg", "style.jpg"),
    "coffee-style": ("coffee.jpg", "style.jpg"),
    "chelsea-mosaic": ("chelsea.jpg", "mosaic.jpg"),
    "coffee-strokes": ("coffee.jpg", "strokes.jpg"),
    "coffee-woodcut": ("coffee.jpg", "woodcut.jpg"),
    "chelsea-washes": ("chelsea.jpg", "washes.jpg"),
    "neckarfront-starry": ("tubingen.jpg", "starry_night_google.jpg"),
    "neckarfront-shipwreck": ("tubingen.jpg", "shipwreck.jpg"),
    "chelsea-scream": ("chelsea.jpg", "the_scream.jpg"),
    "coffee-starry": ("coffee.jpg", "starry_night_google.jpg"),
    "astronaut-style": ("astronaut.png", "style.jpg"),
    "astronaut-starry": ("astronaut.png", "starry_night_google.jpg"),
    "astronaut-scream": ("astronaut.png", "the_scream.jpg"),
    "rocket-shipwreck": ("rocket.jpg", "shipwreck.jpg"),
}


def pairs(
    manifest: pathlib.Path | None, images: Sequence[pathlib.Path], only: Collection[str] | None
) -> Iterator[tuple[str, pathlib.Path, pathlib.Path]]:
    """Name, photograph and painting of each pair; says which built-in ones are left out.

    Args:
      manifest: A JSON file, {name: [content, style]}, in place of `PAIRS`; its folder is looked in too.
      images: Folders to look in first.
      only: Names of those wanted, or None for all.
    """
    folders = [*images, ROOT / "examples"]
    if scikit_image := importlib.util.find_spec("skimage"):
        folders.append(pathlib.Path(scikit_image.origin).parent / "data")
    wanted = PAIRS
    if manifest:
        wanted = json.loads(manifest.read_text())
        folders.insert(0, manifest.parent)
    if unknown := set(only or ()) - set(wanted):
        sys.exit(f"Expected some of the pairs {', '.join(wanted)}. Received: {', '.join(unknown)}")
    for name, files in wanted.items():
        if only and name not in only:
            continue
        content, style = (find(file, folders) for file in files)
        if content and style:
            yield name, content, style
        elif manifest or only:
            sys.exit(f"Pair {name}: expected {' and '.join(files)} in {', '.join(map(str, folders))}")
        else:
            print(f"{name} is left out: no {' or no '.join(files)}", file=sys.stderr)


def find(file: str, folders: Sequence[pathlib.Path]) -> pathlib.Path | None:
    """Where the first of the folders has the file."""
    return next((folder / file for folder in folders if (folder / file).exists()), None)
