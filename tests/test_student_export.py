"""A student's exports: the Keras model's pictures, batches of one size, refusals."""

import io
import pathlib

import numpy as np
import pytest
import students
import tensorflow as tf
from PIL import Image

from tf_style import InputError, Student, export_lite, export_student
from tf_style.commands import stylize_export
from tf_style.serve import student_signatures
from tf_style.serve.student_lite import run_lite

ROOT = pathlib.Path(__file__).parent.parent
PHOTO = np.random.default_rng(1).random((1, 50, 63, 3), np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return students.write_untrained(tmp_path_factory.mktemp("students") / "model", 2, dial=True)


@pytest.fixture(scope="module")
def student(folder):
    return Student.load(folder, precision="float32", device="/CPU:0")


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    made = export_student(folder, tmp_path_factory.mktemp("models") / "stylize", size=48)
    assert (made / "README.md").exists()
    assert (made / "assets.extra" / "tf_serving_warmup_requests").exists()
    return tf.saved_model.load(str(made))


def png(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_tensors_are_the_keras_models(model, student):
    (made,) = model.signatures["stylize_tensor"](images=tf.constant(PHOTO)).values()
    np.testing.assert_allclose(made, student(tf.constant(PHOTO)), atol=1e-6)


def test_pictures_do_not_depend_on_their_neighbours(model):
    files = [png(48, 32, 0), png(48, 32, 1), png(24, 48, 2), png(48, 32, 3), *[png(48, 32, 4)] * 9]
    (made,) = model.signatures["serving_default"](image_bytes=tf.constant(files)).values()
    made = [decoded(data) for data in made.numpy()]
    assert [each.shape for each in made[:4]] == [(48, 32, 3), (48, 32, 3), (24, 48, 3), (48, 32, 3)]
    for index in (0, 2, 3, 12):
        (alone,) = model.signatures["serving_default"](
            image_bytes=tf.constant(files[index : index + 1])
        ).values()
        difference = np.abs(made[index].astype(int) - decoded(alone.numpy()[0]))
        # Sums over a batch may round otherwise, and so to another level.
        assert difference.max() <= 1, index


def test_large_pictures_go_a_few_at_a_time(student, monkeypatch):
    monkeypatch.setattr(student_signatures, "MAX_BATCH_PIXELS", 2 * (48 + 64) * (32 + 64))
    signatures = student_signatures.StudentSignatures(student, 48)
    seen = []

    def render(images, strength, styles):
        tf.py_function(lambda count: seen.append(int(count)), [tf.shape(images)[0]], [])
        return images

    monkeypatch.setattr(signatures, "_render", render)
    strings = tf.TensorSpec([None], tf.string)
    made = tf.function(signatures._stylize_bytes, input_signature=[strings], autograph=False)
    assert made(tf.constant([png(48, 32)] * 5))["stylized_bytes"].shape == (5,)
    assert seen == [2, 2, 1]
    images = tf.constant(np.random.default_rng(0).random((5, 48, 32, 3), np.float32))
    spec = tf.TensorSpec([None, None, None, 3])
    made = tf.function(signatures._stylize_tensor, input_signature=[spec], autograph=False)
    np.testing.assert_array_equal(made(images)["stylized"], images)
    assert seen == [2, 2, 1] * 2


def test_the_dial_and_the_blend(model, student):
    file = png(48, 32)
    photo = np.float32(decoded(file)[np.newaxis] / 255)
    strengths = tf.constant([0.0, 0.8])
    (made,) = model.signatures["stylize_strength"](
        image_bytes=tf.constant([file, file]), strength=strengths
    ).values()
    np.testing.assert_array_equal(decoded(made.numpy()[0]), decoded(file))
    expected = 255 * student(tf.constant(photo), tf.constant([0.8]))[0].numpy()
    assert np.abs(decoded(made.numpy()[1]) - expected).max() <= 1
    (made,) = model.signatures["stylize_blend"](
        image_bytes=tf.constant([file]), style_blend=tf.constant([[3.0, 1.0]])
    ).values()
    expected = 255 * student(tf.constant(photo), style_blend=(3, 1))[0].numpy()
    assert np.abs(decoded(made.numpy()[0]) - expected).max() <= 1


def test_more_pixels_than_can_be_worked_on_are_refused(student, monkeypatch):
    monkeypatch.setattr(student_signatures, "MAX_PIXELS", 112 * 96)
    signatures = student_signatures.StudentSignatures(student, 48)
    assert signatures._stylize_bytes(tf.constant([png(48, 32)]))["stylized_bytes"].shape == (1,)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="image 1 is too large: with 32 around it, at most 10752"
    ):
        signatures._stylize_bytes(tf.constant([png(48, 32), png(48, 34)]))
    images = tf.constant(PHOTO[:, :48, :34])
    with pytest.raises(tf.errors.InvalidArgumentError, match="an image has at most 10752 pixels"):
        signatures._stylize_tensor(images)


def test_what_is_refused(model):
    good = png(48, 32)
    for signature, inputs, text in (
        ("serving_default", {"image_bytes": [good, good[:60]]}, "image 1 is damaged"),
        ("serving_default", {"image_bytes": [good, b"GIF89a" * 9]}, "image 1 is neither"),
        ("serving_default", {"image_bytes": [png(8, 60)]}, "image 0 is too small"),
        ("serving_default", {"image_bytes": [good] * 65}, "at most 64"),
        ("stylize_strength", {"image_bytes": [good], "strength": [1.5]}, "strength is from 0 to 1"),
        ("stylize_blend", {"image_bytes": [good], "style_blend": [[0.0, 0.0]]}, "not all 0"),
        ("stylize_tensor", {"images": 255 * PHOTO}, "finite and in 0..1"),
        ("stylize_tensor", {"images": PHOTO[:, :9]}, "16 pixels"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            model.signatures[signature](**{name: tf.constant(each) for name, each in inputs.items()})


# Measured on this student: 0.8 and 19 levels.
@pytest.mark.parametrize(("weights", "levels"), [("float16", 2.0), ("int8", 40.0)])
def test_lite_is_the_keras_model(folder, student, tmp_path, weights, levels):
    path = tmp_path / "student.tflite"
    assert export_lite(folder, path, weights=weights) < levels
    inputs = {"photographs": PHOTO, "strength": np.array([0.9]), "styles": np.array([[1.0, 0.0]])}
    made = run_lite(path.read_bytes(), inputs)
    expected = student(tf.constant(PHOTO), tf.constant([0.9]), (1.0, 0.0))
    assert 255 * np.abs(made - expected).max() < levels


def test_at_a_shell(folder, tmp_path, capfd):
    command = ["--student", str(folder), "--output"]
    assert stylize_export.main([*command, str(tmp_path / "m"), "--size", "48"]) == 0
    assert (tmp_path / "m" / "1" / "saved_model.pb").exists()
    for flags, text in (
        (["--style", "a.jpg"], "--style would have no effect"),
        (["--iterations", "9"], "--iterations would have no effect"),
        (["--lite-weights", "int8"], "--lite-weights would have no effect"),
        (["--format", "tflite", "--size", "48"], "--size would have no effect"),
    ):
        assert stylize_export.main([*command, str(tmp_path / "n"), *flags]) == 2
        assert text in capfd.readouterr().err
    with pytest.raises(InputError, match="holds no whole student"):
        export_student(tmp_path, tmp_path / "n")
    assert not (tmp_path / "n").exists()
