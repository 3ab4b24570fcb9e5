"""Writing pictures: what is in the file, and that it is complete or untouched."""

import errno
import io
import os
import stat

import numpy as np
import pytest
from PIL import Image

from tf_style import files
from tf_style.errors import InputError, TransferError
from tf_style.images import colour, reading, writing

HEIGHT, WIDTH = 24, 36
LEVEL = 1 / 255
# Half of an 8-bit or 16-bit step from rounding, and what float32 adds.
ROUNDING_8 = 0.5 / 255 + 1e-7
ROUNDING_16 = 0.5 / 65535 + 1e-7


def smooth(height=HEIGHT, width=WIDTH):
    """A smooth uint8 picture, other along each axis and in each channel."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [40 + 180 * x / width, 30 + 200 * y / height, 220 - 90 * (x + y) / (height + width)]
    return np.stack(channels, -1).round().astype(np.uint8)


def assert_one_line(error, *parts):
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


# Writing ----------------------------------------------------------------------------------------


def noise(*shape):
    return np.random.default_rng(3).random(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("suffix", "bit_depth"), [(".png", 8), (".PNG", 16), (".png", 16), (".tif", 8), (".tiff", 8)]
)
@pytest.mark.parametrize("with_alpha", [False, True])
def test_lossless_round_trip(suffix, with_alpha, bit_depth, tmp_path):
    pixels, alpha = noise(9, 14, 3), noise(9, 14) if with_alpha else None
    path = tmp_path / f"out{suffix}"
    writing.check_output(path, bit_depth=bit_depth, size=(9, 14))
    writing.write(path, pixels, alpha=alpha, bit_depth=bit_depth)
    stored = np.asarray(Image.open(path)) / 255
    expected = pixels if alpha is None else np.dstack([pixels, alpha])
    # Pillow reads 16 bits by their high byte: up to 1 level less.
    tolerance = ROUNDING_8 if bit_depth == 8 else LEVEL
    np.testing.assert_allclose(stored, expected, atol=tolerance)
    again = reading.read(path)
    assert (again.alpha is None) == (alpha is None)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("channels", [3, 4])
def test_png_of_16_bits_by_another_decoder(channels, tmp_path):
    tf = pytest.importorskip("tensorflow")
    values = noise(33, 21, channels)
    values[0, 0] = 0
    values[0, 1] = 1
    path = tmp_path / "deep.png"
    alpha = values[..., 3] if channels == 4 else None
    writing.write(path, values[..., :3], alpha=alpha, bit_depth=16)
    decoded = tf.io.decode_png(path.read_bytes(), channels=channels, dtype=tf.uint16).numpy()
    np.testing.assert_allclose(decoded / 65535, values, atol=ROUNDING_16)
    assert decoded[0, 0].max() == 0
    assert decoded[0, 1].min() == 65535


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_round_trip(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    writing.write(path, smooth() / 255)
    # Quality 95 on a smooth picture; WebP halves the resolution of colour.
    np.testing.assert_allclose(reading.read(path).pixels, smooth() / 255, atol=10 * LEVEL)


def test_jpeg_keeps_the_resolution_of_colour(tmp_path):
    path = tmp_path / "out.jpg"
    stripes = np.zeros((16, 16, 3))
    stripes[:, ::2] = (1, 0, 0)
    stripes[:, 1::2] = (0, 0, 1)
    writing.write(path, stripes)
    np.testing.assert_allclose(reading.read(path).pixels, stripes, atol=0.1)


def test_alpha_in_webp_and_not_in_jpeg(tmp_path):
    alpha = noise(HEIGHT, WIDTH)
    writing.write(tmp_path / "a.webp", smooth() / 255, alpha=alpha)
    stored = reading.read(tmp_path / "a.webp").alpha
    np.testing.assert_allclose(stored, alpha, atol=ROUNDING_8)
    with pytest.warns(UserWarning, match=r"a\.jpg: JPEG holds no alpha"):
        writing.write(tmp_path / "a.jpg", smooth() / 255, alpha=alpha)
    assert reading.read(tmp_path / "a.jpg").alpha is None


def test_values_are_clipped_and_rounded(tmp_path):
    path = tmp_path / "out.png"
    writing.write(path, np.array([[[-5, 0.4999 / 255, 0.5001 / 255], [9, 254.6 / 255, 1]]]))
    assert np.asarray(Image.open(path)).tolist() == [[[0, 0, 1], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("suffix", "bit_depth"), [(".png", 8), (".png", 16), (".jpg", 8), (".webp", 8), (".tif", 8)]
)
def test_profile_and_metadata(suffix, bit_depth, tmp_path):
    path = tmp_path / f"out{suffix}"
    description = "café\nseed 1 \N{HIRAGANA LETTER NO}"
    writing.write(path, noise(8, 8, 3), bit_depth=bit_depth, description=description)
    with Image.open(path) as image:
        assert image.info["icc_profile"] == colour.srgb_profile()
        exif = image.getexif()
        # Pillow shows the bytes of a text field as Latin-1.
        assert exif[0x010E].encode("latin-1").decode() == description
        assert exif[0x0131].startswith("tf_style ")
    first = path.read_bytes()
    writing.write(path, noise(8, 8, 3), bit_depth=bit_depth, description=description)
    assert path.read_bytes() == first
    writing.write(path, noise(8, 8, 3), bit_depth=bit_depth, description="é" * 70_000)
    reading.read(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite(bad, tmp_path):
    path = tmp_path / "out.png"
    pixels = noise(4, 4, 3)
    pixels[1, 2, 0] = bad
    with pytest.raises(TransferError, match="not finite"):
        writing.write(path, pixels)
    with pytest.raises(TransferError, match="not finite"):
        writing.write(path, noise(4, 4, 3), alpha=pixels[..., 0])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.gif", {}, r"must end in .*Received: '\.gif'"),
        ("a", {}, "must end in"),
        (".png", {}, "must end in"),
        ("a.jpg", {"bit_depth": 16}, "bit_depth=16"),
        ("a.png", {"bit_depth": 12}, "bit_depth=12"),
        ("a.png", {"quality": 0}, "Received: 0"),
        ("a.png", {"alpha": np.zeros((2, 2))}, "Alpha"),
        ("a.png", {"pixels": np.zeros((2, 2))}, "Pixels"),
        ("a.webp", {"pixels": np.zeros((1, 16384, 3))}, "at most 16383"),
    ],
)
def test_write_refuses(name, options, message, tmp_path):
    pixels = options.pop("pixels", np.zeros((4, 4, 3)))
    with pytest.raises(InputError, match=message) as error:
        writing.write(tmp_path / name, pixels, **options)
    assert_one_line(error)
    assert os.listdir(tmp_path) == []


# The place of the output, and complete or untouched ---------------------------------------------


def test_check_output(tmp_path, monkeypatch):
    writing.check_output(tmp_path / "out.png", bit_depth=16)
    writing.check_output(str(tmp_path / "out.JPEG"), size=(65500, 10))
    monkeypatch.chdir(tmp_path)
    writing.check_output("out.tif")
    assert os.listdir(tmp_path) == []
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "file").write_text("")
    for path, options, message in [
        (tmp_path / "folder.png", {}, "is a directory"),
        (tmp_path / "pipe.png", {}, "no regular file"),
        (tmp_path / "missing" / "out.png", {}, "folder does not exist"),
        (tmp_path / "file" / "out.png", {}, "folder does not exist|Not a directory"),
        (tmp_path / ("n" * 250 + ".png"), {}, "too long"),
        ("nul\0.png", {}, "null"),
        (tmp_path / "out.txt", {}, "must end in"),
        (tmp_path / "out.tif", {"bit_depth": 16}, "bit_depth=16"),
        (tmp_path / "out.jpg", {"size": (70000, 10)}, "at most 65500"),
    ]:
        with pytest.raises(InputError, match=message) as error:
            writing.check_output(path, **options)
        assert_one_line(error)


def test_check_output_really_tries(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(InputError, match=r"out\.png cannot be written: Permission denied"):
        writing.check_output(tmp_path / "out.png")


@pytest.mark.parametrize("failure", ["write", "fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_the_old_file_survives_a_failure(failure, error, tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"precious")

    def fail(*args, **kwargs):
        raise error

    class Full(io.FileIO):
        write = fail

    if failure == "write":
        monkeypatch.setattr(files, "open", Full, raising=False)
    else:
        monkeypatch.setattr(os, failure, fail)
    expected = TransferError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        writing.write(path, noise(4, 4, 3))
    monkeypatch.undo()
    if expected is TransferError:
        assert_one_line(caught, "out.png was not written: No space left on device")
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["out.png"]


def test_write_atomically(tmp_path):
    path = tmp_path / "trace.json"
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    stale = tmp_path / f".trace.json.{os.getpid()}.tmp"
    stale.write_bytes(b"left by a killed run")
    files.write_atomically(str(path), b"three")
    assert path.read_bytes() == b"three"
    assert os.listdir(tmp_path) == ["trace.json"]
    with pytest.raises(TransferError, match="was not written"):
        files.write_atomically(tmp_path / "missing" / "x", b"")
    files.check_writable(path)
    with pytest.raises(InputError, match="folder does not exist"):
        files.check_writable(tmp_path / "missing" / "trace.json")
    assert os.listdir(tmp_path) == ["trace.json"]


def test_permissions_and_links_as_open_would_leave_them(tmp_path):
    path, link = tmp_path / "out.bin", tmp_path / "link.bin"
    before = os.umask(0o027)
    try:
        files.write_atomically(path, b"one")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        link.symlink_to(path)
        files.write_atomically(link, b"two")
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
