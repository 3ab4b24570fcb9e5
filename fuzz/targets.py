"""Fuzz targets: whatever bytes come in, the readers return or raise what they say, and nothing else.

pip install atheris
python fuzz/targets.py images|weights|checkpoint [libFuzzer's options] [corpus folder]

What is found goes into tests/corpus/<target>/, and the tests replay it.
"""

import pathlib
import sys
import tempfile
import warnings
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def read_image(data: bytes) -> None:
    """`images.read`: a picture within its limits, or an InputError of one line."""
    from tf_style import InputError
    from tf_style.images import reading

    try:
        picture = reading.read(data, limits=reading.Limits(max_pixels=1_000_000))
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert picture.pixels.shape == (picture.height, picture.width, 3)
    assert picture.pixels.min() >= 0
    assert picture.pixels.max() <= 1


def read_weights(data: bytes) -> None:
    """`weights.load` of a `.h5` file: the layer in its shape and finite, or an InputError."""
    import numpy as np

    from tf_style import InputError
    from tf_style.network import weights
    from tf_style.network.architecture import LAYERS

    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        file.write(data)
        file.flush()
        try:
            found = weights.load(file.name, LAYERS[:1])
        except InputError as error:
            assert "\n" not in str(error)
            return
    for kernel, bias in found.values():
        assert kernel.shape == (3, 3, 3, 64)
        assert np.isfinite(kernel).all()
        assert np.isfinite(bias).all()


def read_checkpoint(data: bytes) -> None:
    """`checkpoint.read`, its JSON and its arrays cut from the data: one of them, or a DamagedError."""
    import hashlib
    import json

    from tf_style.transfer import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "checkpoint-1.json"
        if data[:1] == b"J":
            path.write_bytes(data[1:])
            path.with_suffix(".npz").write_bytes(b"")
        else:
            # Sums that are right let the arrays be looked at.
            digest = hashlib.sha256(data).hexdigest()
            record = {"format": checkpoint.FORMAT, "arrays_sha256": digest, "request": {}}
            record["sha256"] = checkpoint._digest(record)
            path.write_text(json.dumps(record))
            path.with_suffix(".npz").write_bytes(data)
        try:
            found = checkpoint.read(path)
        except checkpoint.DamagedError:
            return
        assert isinstance(found.request, dict)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "images": read_image,
    "weights": read_weights,
    "checkpoint": read_checkpoint,
}


def main() -> None:
    """Fuzzes one target, until something is found or the options say so."""
    import atheris

    target = TARGETS[sys.argv[1]]
    with atheris.instrument_imports(include=["PIL", "tf_style", "zipfile", "numpy.lib", "h5py"]):
        import h5py  # noqa: F401
        import numpy  # noqa: F401
        import PIL.Image  # noqa: F401

        import tf_style.images.reading
        import tf_style.network.weights  # noqa: F401
    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
