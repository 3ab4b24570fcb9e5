"""Exports: what a server that knows nothing of this package can do with them."""

import dataclasses
import io
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from tf_style import (
    PRESETS,
    Features,
    InputError,
    Settings,
    StyleTransfer,
    export_saved_model,
    prepare,
    read_image,
)
from tf_style.images.picture import resize
from tf_style.network.weights import load_for
from tf_style.serve.packed_weights import StatelessFeatures
from tf_style.transfer.margin import with_margin

ROOT = pathlib.Path(__file__).parent.parent
# With this pair every unit step is good, so that two ways to search cannot differ.
STYLE = str(ROOT / "examples" / "chelsea.jpg")
SIZE, ITERATIONS = 48, 5
SHALLOW = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",)}


def encoded(pixels, format="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def content():
    """uint8 [36, 48, 3]: in the working size already, so that nothing is resized."""
    return np.uint8(np.round(255 * resize(read_image(ROOT / "examples" / "coffee.jpg").pixels, 36, 48)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "stylize"
    return export_saved_model(STYLE, output, size=SIZE, iterations=ITERATIONS, max_iterations=20)


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def expected(content):
    """The same run in Python."""
    settings = Settings(size=SIZE, iterations=ITERATIONS, precision="float32", levels=1)
    return StyleTransfer(prepare(content, [STYLE], settings)).run()


def decoded(stylized: tf.Tensor) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(stylized.numpy())))


def call(signature, **inputs):
    return signature(**{name: tf.constant(value) for name, value in inputs.items()})


def test_the_picture_is_that_of_the_same_run_in_python(signatures, content, expected):
    assert len(expected.evaluations) == ITERATIONS + 1
    made = call(signatures["serving_default"], image_bytes=[encoded(content)])["stylized_bytes"]
    picture = decoded(made[0])
    # The bound: two grey levels on average.
    assert np.abs(picture - 255.0 * expected.image).mean() < 2
    assert np.abs(picture - np.float32(content)).mean() > 5


def test_the_loss_is_that_of_the_same_run_in_python(signatures, content, expected):
    made = call(signatures["stylize_tensor"], images=np.float32(content[np.newaxis] / 255))
    settings = Settings(size=SIZE, precision="float32", levels=1)
    inputs = prepare(content, [STYLE], settings)
    margin, objective = inputs.levels[-1].level.margin, StyleTransfer(inputs).objective
    # Of pictures as they are handed out, clipped, each.
    losses = [
        float(tf.reduce_sum(objective.parts(with_margin(255.0 * picture, margin, tf))))
        for picture in (made["stylized"], expected.image[np.newaxis])
    ]
    # The bound.
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_pictures_of_a_request_may_differ_in_size_and_kind(signatures, content):
    grey = content[..., 1]
    see_through = np.dstack([content, np.full_like(grey, 128)])
    files = [
        encoded(content, "JPEG", quality=95),
        encoded(grey),
        encoded(see_through),
        encoded(np.ascontiguousarray(content[:, :27])),
    ]
    made = call(signatures["serving_default"], image_bytes=files)["stylized_bytes"]
    assert [decoded(file).shape for file in made] == [(36, 48, 3)] * 3 + [(48, 36, 3)]


def test_a_style_may_come_with_the_request(signatures, content):
    style = pathlib.Path(STYLE).read_bytes()
    own = call(signatures["serving_default"], image_bytes=[encoded(content)])["stylized_bytes"]
    pair = call(signatures["stylize_pair"], content_bytes=[encoded(content)], style_bytes=[style])
    difference = np.float32(decoded(own[0])) - decoded(pair["stylized_bytes"][0])
    # The style's JPEG is decoded by another library here.
    assert np.abs(difference).mean() < 2


def test_a_mask_says_where_the_style_goes(signatures, content):
    half = np.zeros(content.shape[:2], np.uint8)
    half[:, :24] = 255
    stylize, files = signatures["stylize_mask"], [encoded(content)]
    white = call(stylize, image_bytes=files, mask_bytes=[[encoded(np.full_like(half, 255))]])
    plain = call(signatures["serving_default"], image_bytes=files)
    whole, other = (np.float32(decoded(each["stylized_bytes"][0])) for each in (white, plain))
    # Sums of weights stand for counts of positions.
    assert np.abs(whole - other).mean() < 1
    # A mask of another size too.
    masks = [[encoded(half)], [encoded(half.repeat(2, 0).repeat(2, 1))]]
    made = call(stylize, image_bytes=files * 2, mask_bytes=masks)["stylized_bytes"]
    for picture in map(decoded, made):
        np.testing.assert_array_equal(picture[:, 24:], content[:, 24:])
        assert np.abs(np.float32(picture) - content)[:, :24].mean() > 5


def test_as_many_masks_as_styles(signatures, content):
    white = encoded(np.full(content.shape[:2], 255, np.uint8))
    for masks in ([[white, white]], [[]]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="1 masks for each image"):
            signatures["stylize_mask"](
                image_bytes=tf.constant([encoded(content)]), mask_bytes=tf.constant(masks, tf.string)
            )


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((36, 40), np.uint8), "mask 0 of image 0 has other proportions than its picture"),
        (np.uint8([[[255, 0, 0]]]).repeat(36, 0).repeat(48, 1), "mask 0 of image 0 has colours"),
        (np.full((36, 48, 4), 128, np.uint8), "mask 0 of image 0 has transparency"),
        (None, "mask 0 of image 0 is empty or cut short"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(signatures, content, mask, message):
    data = b"" if mask is None else encoded(mask)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(signatures["stylize_mask"], image_bytes=[encoded(content)], mask_bytes=[[data]])


def test_iterations_are_an_input_with_a_bound(signatures, content):
    stylize, data = signatures["stylize_iterations"], encoded(content)
    pictures = [
        decoded(call(stylize, image_bytes=[data], iterations=[number])["stylized_bytes"][0])
        for number in (1, ITERATIONS)
    ]
    assert not np.array_equal(*pictures)
    for number in (0, 21):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="image 1: iterations are from 1 to 20"
        ):
            call(stylize, image_bytes=[data, data], iterations=[20, number])
    with pytest.raises(tf.errors.InvalidArgumentError, match="one number of iterations"):
        call(stylize, image_bytes=[data], iterations=[1, 1])


def bad_files(content):
    png, jpeg = encoded(content), encoded(content, "JPEG")
    header = png[:16] + (2**31 - 1).to_bytes(4, "big") * 2
    return {
        "nothing": (b"", "is empty or cut short"),
        "text": (b"hello, this is no picture at all", "neither a JPEG nor a PNG"),
        "gif": (encoded(content, "GIF"), "neither a JPEG nor a PNG"),
        "cut PNG": (png[: len(png) // 2], "is damaged"),
        "cut JPEG": (jpeg[: len(jpeg) // 2], "is damaged"),
        "JPEG without a size": (jpeg[:24], "is damaged"),
        "bomb": (header + png[24:], "has more than"),
        "PNG without pixels": (png[:33], "is damaged"),
        "zero bytes after the mark": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is damaged"),
        "too small": (encoded(content[:1]), "image 1 at 48 x 1 pixels is too small"),
        "too narrow": (encoded(np.tile(content, (20, 1, 1))[:, :10]), "image 1 at 1 x 48 pixels"),
    }


@pytest.mark.parametrize("name", bad_files(np.zeros([20, 20, 3], np.uint8)))
def test_a_bad_picture_is_named_and_the_next_request_works(signatures, content, name):
    data, message = bad_files(content)[name]
    good = encoded(content)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as error:
        call(signatures["serving_default"], image_bytes=[good, data])
    # By its name, which only the look at all of them gives, before the first is worked on.
    assert "image 1" in str(error.value)
    made = call(signatures["serving_default"], image_bytes=[good])["stylized_bytes"]
    assert decoded(made[0]).shape == (36, 48, 3)


def test_all_of_a_pair_is_looked_at_before_work(signatures, content):
    good = encoded(content)
    narrow = encoded(np.zeros([600, 10, 3], np.uint8))
    pair = signatures["stylize_pair"]
    for style, message in ((good[:200], "style 1 is damaged"), (narrow, "style 1 at .* is too small")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            call(pair, content_bytes=[good, good], style_bytes=[good, style])
    # Too many are refused before a style is decoded, which these would not be.
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 64 images"):
        call(pair, content_bytes=[b""] * 65, style_bytes=[b""] * 65)


def test_a_photograph_is_turned_upright(signatures, content):
    exif = Image.Exif()
    exif[0x0112] = 6
    made = call(signatures["serving_default"], image_bytes=[encoded(content, "JPEG", exif=exif)])
    assert decoded(made["stylized_bytes"][0]).shape == (48, 36, 3)


def test_what_is_too_large_is_refused_before_it_is_decoded(signatures, content):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image 0 is larger than"):
        call(signatures["serving_default"], image_bytes=[encoded(content) + bytes(2**25)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 64 images"):
        call(signatures["serving_default"], image_bytes=[b""] * 65)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.5])
def test_other_numbers_than_pixels_are_refused(signatures, value):
    images = np.full([1, 20, 20, 3], 0.5, np.float32)
    images[0, 3, 4, 1] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"finite and in 0\.\.1"):
        call(signatures["stylize_tensor"], images=images)


def test_too_many_pixels_at_once_are_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 9216 pixels"):
        call(signatures["stylize_tensor"], images=np.zeros([5, 48, 48, 3], np.float32))


def test_stock_ops_only_and_everything_once(folder):
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert len(nodes) > 1000
    assert not [node.op for node in nodes if ">" in node.op or "TfStyle" in node.op]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    # The weights up to conv5_1 are 12.6 MB in 8 bits; 30 is the most that it may be.
    assert 12e6 < size < 30e6


def test_weights_go_to_their_variables_by_name_and_shape():
    preset = dataclasses.replace(
        PRESETS["gatys2016"], content_layers=("conv1_2",), style_layers=("conv2_1",)
    )
    network = Features(preset, load_for(preset, "embedded"), kernel="stock")
    image = tf.constant(np.random.default_rng(0).uniform(0, 255, (1, 16, 20, 3)), tf.float32)
    variables = network.model.non_trainable_variables
    values = {variable.path: tf.constant(variable.value) for variable in reversed(variables)}
    expected = network(image)
    found = StatelessFeatures(network, values)(image)
    for name in preset.layers:
        np.testing.assert_array_equal(found[name], expected[name])
    one, *_, other = values
    for wrong in ({**values, one: values[other]}, {other: values[other]}):
        with pytest.raises(ValueError, match=r"variables are .* Received"):
            StatelessFeatures(network, wrong)


SESSION = """
import sys
import tensorflow as tf
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], sys.argv[1])
    signature = meta.signature_def["serving_default"]
    files = [open(sys.argv[2], "rb").read()]
    output = signature.outputs["stylized_bytes"].name
    made = session.run(output, {signature.inputs["image_bytes"].name: files})
    open(sys.argv[3], "wb").write(made[0])
assert not [name for name in sys.modules if name.startswith("tf_style")]
"""


def test_a_session_without_the_package_runs_it(folder, content, tmp_path, expected):
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    source.write_bytes(encoded(content))
    command = [sys.executable, "-I", "-c", SESSION, str(folder), str(source), str(target)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(target))
    assert np.abs(picture - 255.0 * expected.image).mean() < 2


def test_tensorflows_own_program_runs_it(folder, content, tmp_path, expected):
    """As docs/serving.md has it; its `scan` finds no op that touches files."""
    np.save(tmp_path / "photo.npy", np.array([encoded(content)]))
    program = str(pathlib.Path(sys.executable).parent / "saved_model_cli")
    where = ["--dir", str(folder), "--tag_set", "serve"]
    command = [program, "run", *where, "--signature_def", "serving_default"]
    command += ["--inputs", "image_bytes=photo.npy", "--outdir", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = np.load(tmp_path / "out" / "stylized_bytes.npy", allow_pickle=True)
    picture = np.asarray(Image.open(io.BytesIO(made)))
    assert np.abs(picture - 255.0 * expected.image).mean() < 2
    done = subprocess.run([program, "scan", *where], capture_output=True, text=True, check=False)
    assert "does not contain the default denylisted ops" in done.stdout


def test_versions_are_numbers_and_never_written_over(tmp_path, folder):
    output = tmp_path / "stylize"
    options = {"size": 32, "iterations": 1}
    for name in ("1", "7"):
        shutil.copytree(folder, output / name)
    made = export_saved_model(STYLE, output, content_weight=1e7, **SHALLOW, **options)
    assert made.name == "8"
    # How much of the photograph stays is said already.
    assert "stylize_strength" in (folder / "README.md").read_text()
    assert "stylize_strength" not in (made / "README.md").read_text()
    assert "stylize_strength" not in tf.saved_model.load(str(made)).signatures
    before = (output / "1" / "saved_model.pb").read_bytes()
    with pytest.raises(InputError, match="has a version 1 already"):
        export_saved_model(STYLE, output, version=1, **options)
    assert (output / "1" / "saved_model.pb").read_bytes() == before
    assert {path.name for path in output.iterdir()} == {"1", "7", "8"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations"),
        ({"iterations": 9, "max_iterations": 8}, "iterations"),
        ({"version": 0}, "version is 1 or more"),
        ({"levels": 2}, "levels"),
        ({"init": "nowhere.png"}, "starts from"),
        # Not in a square of 96 x 96 pixels, in which 600 x 10 are 744 x 12.
        ({"style": np.zeros([10, 600, 3], np.uint8), "size": 96}, "style image is too small.*744 x 12"),
        # Found on trial: the loss is infinite.
        (
            {"style_weight": 1e38, "size": 32, **SHALLOW},
            "Every request .* fail: the loss or its .* not a finite number",
        ),
    ],
)
def test_wrong_requests_leave_nothing(tmp_path, options, message):
    with pytest.raises(InputError, match=message) as error:
        export_saved_model(output=tmp_path / "stylize", **{"style": STYLE, **options})
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_at_a_shell(tmp_path):
    command = [sys.executable, str(ROOT / "bin" / "stylize-export"), "--style", STYLE]
    command += ["--output", str(tmp_path / "m"), "--size", "32", "--iterations", "1"]
    command += ["--version", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("stylize-export: wrote ")
    text = (tmp_path / "m" / "3" / "README.md").read_text()
    assert "docker run" in text
    assert '{"instances": [{"b64": ' in text.replace("\\", "")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "version 3" in done.stderr
