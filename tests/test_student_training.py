"""Training: what is learnt from, the same bits after a kill, where it ends, and what is refused."""

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import students
import tensorflow as tf
from PIL import Image

from tf_style import InputError, PerceptualLoss, TransferError, train_student
from tf_style.commands import stylize_train, train_progress, train_run
from tf_style.images.picture import resize
from tf_style.images.reading import as_picture
from tf_style.keras_on_tensorflow import keras
from tf_style.student import photographs, stored, trained_model
from tf_style.student.network import Network
from tf_style.student.plan import Plan, read_plan
from tf_style.student.prepare import prepare_training
from tf_style.student.progress import TrainingProgress, has_stalled
from tf_style.student.shape import Shape
from tf_style.student.student import Student
from tf_style.student.trained_model import TrainedModel, grid_pattern
from tf_style.student.training import Training
from tf_style.transfer import checkpoint

ROOT = pathlib.Path(__file__).parent.parent
FLAGS = [
    *("--size", "32", "--crop", "32", "--batch", "1", "--channels", "4", "--blocks", "1"),
    *("--style-layers", "conv1_1,conv2_1"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return students.write_photographs(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture
def command(photos):
    return ["--style", students.STYLE, "--photos", str(photos), *FLAGS]


def pictures(count=9, side=80):
    return [np.random.default_rng(index).random((side, side + 7, 3)) for index in range(count)]


def read(sources):
    return photographs.read_photographs(sources, size=64, seed=0, read=as_picture)


def test_a_steps_pieces_follow_from_its_number():
    found = read(pictures())
    first = found.batch(3, seed=1, crop=32, size=4)
    assert first.shape == (4, 32, 32, 3)
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1
    np.testing.assert_array_equal(found.batch(3, seed=1, crop=32, size=4), first)
    for other in (found.batch(4, seed=1, crop=32, size=4), found.batch(3, seed=2, crop=32, size=4)):
        assert np.abs(other - first).max() > 0.1


def test_all_photographs_come_before_one_comes_again():
    found = read(pictures())
    for round_ in range(3):
        indices = {found._index(9 * round_ + place, 0) for place in range(9)}
        assert indices == set(range(9))


def test_unreadable_photographs_are_left_out_with_one_warning(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    sources = [*pictures(8), str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    with pytest.warns(
        UserWarning, match=r"2 of 10 photographs are left out: .*[ab]\.jpg.*, and others"
    ):
        assert len(read(sources).pixels) == 8
    with pytest.raises(InputError, match="Received: 7 that can be read; "):
        read(sources[1:])


def test_an_interrupt_does_not_wait_for_all_photographs():
    begun = []

    def read_slowly(source):
        begun.append(source)
        if len(begun) == 1:
            raise KeyboardInterrupt
        time.sleep(0.01)
        raise InputError("no picture")

    with pytest.raises(KeyboardInterrupt):
        photographs.read_photographs([str(i) for i in range(500)], size=64, seed=7, read=read_slowly)
    assert len(begun) < 50


def test_narrow_photographs_are_left_out():
    with pytest.warns(UserWarning, match="1 of 9 photographs are left out: .*Received: 4000 x 1"):
        assert len(read([np.zeros((1, 4000, 3)), *pictures(8)]).pixels) == 8


def test_small_photographs_are_enlarged_and_large_ones_reduced():
    found = read([np.zeros((40, 50, 3)), np.zeros((900, 500, 3)), *pictures(7, side=100)])
    shorter = sorted({min(each.shape[:2]) for each in found.pixels})
    assert shorter == [64, 100, 128]


def test_a_plan_goes_through_json_and_refuses_what_contradicts_itself():
    plan = Plan(**students.SMALL, dial=True)
    assert read_plan(json.loads(json.dumps(vars(plan)))) == plan
    for wrong, text in (
        ({"dial": True, "strength": 0.3}, "strength would have no effect"),
        ({"size": 64, "crop": 128}, "crop is at most size"),
        ({"crop": 40}, "multiple of 16"),
        ({"style_weight": 0.0}, "weights are above 0"),
        ({"preset": "none"}, "preset is one of"),
        ({"strength": 0}, "a strength above 0"),
    ):
        with pytest.raises(InputError, match=text):
            Plan(**wrong)
    assert Plan().on("/GPU:0").steps > Plan().on("/CPU:0").steps
    for given, strength in (
        ({}, 0.5),
        ({"strength": 0.3}, 0.3),
        ({"preset": "gatys2016"}, 0.5),
        ({"content_weight": 0.1}, 0.5),
        ({"dial": True}, 0.5),
    ):
        assert Plan(**given).one_strength == strength


def test_a_training_that_no_longer_improves_ends():
    falling = list(np.linspace(10, 1, 100))
    assert not has_stalled(falling, 100)
    assert not has_stalled([*falling[:50], *[falling[50]] * 40], 100)
    assert has_stalled([*falling[:30], *[falling[30]] * 60], 100)
    assert not has_stalled(falling[:5], 10)


def test_chance_ends_no_training():
    """One that falls as trainings do, to a third, by rounds that differ by a fifth: as measured."""
    falling = (1 + np.arange(600) / 5) ** -0.22
    ended = 0
    for seed in range(40):
        losses = falling * (1 + 0.2 * np.random.default_rng(seed).standard_normal(600))
        ended += any(has_stalled(losses[:count], 600) for count in range(360, 600, 5))
    assert ended == 0


def test_losses_of_several_styles_share_a_network():
    first = PerceptualLoss(students.STYLE, size=32, style_layers=("conv1_1",))
    other = np.full((32, 32, 3), 0.5)
    shared, alone = (
        first.with_style(other, size=32),
        PerceptualLoss(other, size=32, style_layers=("conv1_1",)),
    )
    photo = np.float32(pictures(1, side=32)[0][np.newaxis])
    np.testing.assert_array_equal(shared(photo, photo), alone(photo, photo))
    assert shared.get_config()["style"] == alone.get_config()["style"]
    parts = first.parts(photo, photo[:, ::-1])
    np.testing.assert_allclose(tf.reduce_sum(parts, axis=1), first.call(photo, photo[:, ::-1]))


def test_a_student_learns_both_styles_and_the_dial(photos, tmp_path):
    """The loss of a picture is below that of its photograph, in either style."""
    styles = [students.STYLE, str(ROOT / "examples" / "mosaic.jpg")]
    told = []
    student = train_student(
        styles,
        sorted(photos.iterdir()),
        tmp_path / "model",
        **students.SMALL,
        steps=200,
        learning_rate=0.01,
        dial=True,
        callback=told.append,
    )
    assert told[-1].step == told[-1].steps == 200
    assert set(told[0].losses) == {"loss", "content", "style", "tv"}
    assert told[-1].losses["loss"] < told[0].losses["loss"]
    photo = resize(as_picture(students.ROOT / "examples" / "chelsea.jpg").pixels, 48, 64)
    for index, style in enumerate(styles):
        loss = PerceptualLoss(style, size=32, style_layers=("conv1_1", "conv2_1"))
        made = student.render(photo, style_blend=np.eye(2)[index], strength=0.5)
        before, after = (float(loss(photo[np.newaxis], each[np.newaxis])) for each in (photo, made))
        assert after < 0.9 * before, index  # Measured: 0.50 and 0.80.
    assert np.abs(student.render(photo, strength=1.0) - made).max() > 0.01
    assert stored.load(tmp_path / "model").styles == ("style.jpg", "mosaic.jpg")


def test_a_killed_training_goes_on_to_the_same_bits(command, tmp_path, capfd):
    """One is never stopped, one is killed after its first checkpoint and goes on."""
    assert (
        stylize_train.main([*command, "--steps", "20", "--output", str(tmp_path / "whole"), "--quiet"])
        == 0
    )
    folder = tmp_path / "killed"
    program = str(ROOT / "bin" / "stylize-train")
    flags = ["--steps", "20", "--output", str(folder), "--quiet", "--checkpoint-every", "0"]
    process = subprocess.Popen([sys.executable, program, *command, *flags])
    deadline = time.monotonic() + 240
    while not list((folder / "training").glob("checkpoint-*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "student.json").exists()
    steps = len(checkpoint.load(folder / "training").arrays["history"]) * 10
    assert 0 < steps < 20
    assert stylize_train.main(["--resume", str(folder), "--quiet"]) == 0
    whole, resumed = (stored.load(tmp_path / name) for name in ("whole", "killed"))
    assert whole.steps == resumed.steps == 20
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, resumed.arrays[name])
    assert (folder / "previews" / "step-000020.jpg").exists()
    assert list((folder / "logs").glob("events.*"))
    # One that was killed between its last checkpoint and its student.
    (folder / "student.json").unlink()
    assert stylize_train.main(["--resume", str(folder), "--quiet"]) == 0
    again = stored.load(folder)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    assert stylize_train.main(["--resume", str(folder), "--quiet"]) == 2
    assert "has ended already" in capfd.readouterr().err


def test_previews_show_each_student_and_trace_one(tmp_path, monkeypatch):
    first = students.untrained()
    other = dataclasses.replace(first, arrays={name: -each for name, each in first.arrays.items()})
    photograph = np.float32(pictures(1, 32)[0])
    made = [Student(each, precision="float32").render(photograph) for each in (first, other, first)]
    traced = []
    rendered = Student._rendered
    monkeypatch.setattr(Student, "_rendered", lambda *given: traced.append(0) or rendered(*given))
    training = types.SimpleNamespace(rounds=3, round_steps=10, rounds_done=0)
    keeper = train_progress.Keeper(tmp_path, photograph, 10, training)
    for step, each in zip((10, 20, 30), (first, other, first), strict=True):
        student = Student(each, precision="float32")
        progress = TrainingProgress(step, 30, {"loss": 1.0}, 1.0, None, lambda student=student: student)
        keeper(progress)
    keeper.close()
    shown = [
        np.float32(as_picture(tmp_path / "previews" / f"step-0000{step}.jpg").pixels)
        for step in (10, 20, 30)
    ]
    for index, picture in enumerate(shown):
        distances = [np.abs(picture - each).mean() for each in made]
        # JPEG's losses and the other student: measured, 0.01 and 0.64.
        assert distances[index] < 0.1 < distances[index - 1 if index else 1], distances
    assert len(traced) == 1


def train_small(photos, folder, **plan):
    return train_student(students.STYLE, sorted(photos.iterdir()), folder, **students.SMALL, **plan)


def test_a_training_goes_on_from_python_too(photos, tmp_path, capfd):
    """One that was stopped there goes on by the same call, or from the shell."""
    train_small(photos, tmp_path / "a", steps=20, should_stop=lambda: True)
    assert stored.load(tmp_path / "a").steps == 10
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    called = train_small(photos, tmp_path / "a", steps=20, resume=True).stored
    flags = ["--resume", str(tmp_path / "b"), "--quiet"]
    assert stylize_train.main(flags) == 2
    assert "begun in Python: --style and --photos" in capfd.readouterr().err
    assert stylize_train.main([*flags, "--style", students.STYLE, "--photos", str(photos)]) == 0
    made = stored.load(tmp_path / "b")
    assert called.steps == made.steps == 20
    for name, array in called.arrays.items():
        np.testing.assert_array_equal(made.arrays[name], array)
    with pytest.raises(InputError, match="of other settings"):
        train_small(photos, tmp_path / "a", steps=30, resume=True)
    # What the shell's line said stays known where Python goes on.
    train_small(photos, tmp_path / "b", steps=20, resume=True)
    request = checkpoint.load(tmp_path / "b" / "training").request["request"]
    assert request["styles"] == [students.STYLE]
    assert stored.load(tmp_path / "b").styles == ("style.jpg",)


def test_a_step_that_is_not_finite_does_no_harm(photos, tmp_path, monkeypatch):
    draw = photographs.Photographs.batch

    def draw_nan(self, step, **options):
        return draw(self, step, **options) * np.float32(np.nan if step == 3 else 1)

    monkeypatch.setattr(photographs.Photographs, "batch", draw_nan)
    # By rounds of ten steps, and of one, of which nothing is left.
    for steps, text in ((20, "1 of 10 steps are left out"), (11, "1 of 1 steps are left out")):
        told = []
        with pytest.warns(UserWarning, match=text):
            student = train_small(photos, tmp_path / str(steps), steps=steps, callback=told.append)
        assert all(np.isfinite(array).all() for array in student.stored.arrays.values())
        assert np.isfinite([list(each.losses.values()) for each in told]).all()
        assert told[-1].step == steps

    def draw_nans(self, step, **options):
        return draw(self, step, **options) * np.float32(np.nan if step >= 10 else 1)

    monkeypatch.setattr(photographs.Photographs, "batch", draw_nans)
    with pytest.raises(TransferError, match="no longer finite"):
        train_small(photos, tmp_path / "other", steps=20)
    # The student of the steps before is kept.
    assert stored.load(tmp_path / "other").steps == 10


def test_all_steps_count_alike(monkeypatch):
    """Of a loss a thousand times as large, the gradient that the optimiser gets has norm 1 too."""
    loss = PerceptualLoss(students.STYLE, size=32, content_weight=1e3, style_weight=1e6)
    model = TrainedModel(Network(Shape(4, 1, 1)).model, [loss])
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    norms = []
    monkeypatch.setattr(
        model.optimizer,
        "apply_gradients",
        lambda pairs: norms.append(float(tf.linalg.global_norm([each for each, _ in pairs]))),
    )
    photographs = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    strength, styles = tf.constant([[0.5]]), tf.constant([[1.0]])
    inputs = {"photographs": tf.constant(photographs), "strength": strength, "styles": styles}
    model.train_step((inputs,))
    assert norms == [pytest.approx(1, rel=1e-5)]


def test_photographs_are_found_once(tmp_path):
    """In linked folders too, one of which leads to itself; and a folder may be named twice."""
    inner = tmp_path / "photos" / "inner"
    inner.mkdir(parents=True)
    (inner / "a.jpg").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.jpg").touch()
    (tmp_path / "photos" / ".hidden").touch()
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "elsewhere")
    (inner / "around").symlink_to(tmp_path / "photos")
    names = [str(tmp_path / "photos"), str(inner)]
    found = photographs.find_photographs(names)
    assert [pathlib.Path(path).name for path in found] == ["a.jpg", "b.jpg"]


def test_few_photographs_are_read_at_once_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(photographs.host, "available", lambda: 5 * 2**30)
    monkeypatch.setattr(photographs.os, "cpu_count", lambda: 64)
    assert photographs._readers() == 2
    monkeypatch.setattr(photographs.host, "available", lambda: 2**20)
    assert photographs._readers() == 1


def test_what_is_locked_to_the_networks_grid_is_minimised_too(monkeypatch):
    # Tolerances: at the border means are of less, in 8 pixels of 192.
    x = np.arange(192)
    locked = np.broadcast_to(0.1 * np.cos(np.pi / 2 * x)[:, np.newaxis], (1, 192, 192, 3))
    # In one part, and turned round in the next.
    turned = np.where((x < 96)[:, np.newaxis, np.newaxis], 1, -1) * locked
    alternate = np.broadcast_to(0.1 * np.sign(x // 4 % 2 - 0.5)[:, np.newaxis], (1, 192, 192, 3))
    assert float(grid_pattern(tf.constant(0.5 + alternate))) == pytest.approx(0.1**2, rel=0.05)
    for pattern in (locked, turned):
        assert float(grid_pattern(tf.constant(0.5 + pattern))) == pytest.approx(0.1**2 / 2, rel=0.05)
    ramp = np.broadcast_to(x[:, np.newaxis] / 192, (1, 192, 192, 3))
    assert float(grid_pattern(tf.constant(ramp))) < 1e-6
    # The mean of 144 places.
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 192, 192, 3))
    assert float(grid_pattern(tf.constant(noise))) == pytest.approx(0.01 / 144, rel=0.2)
    model = TrainedModel(
        Network(Shape(4, 1, 1)).model,
        [PerceptualLoss(students.STYLE, size=32, style_layers=("conv1_1",))],
    )
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    inputs = {"photographs": tf.constant(np.float32(pictures(1, side=32)[0][np.newaxis, :32, :32]))}
    inputs |= {"strength": tf.constant([[0.5]]), "styles": tf.constant([[1.0]])}
    monkeypatch.setattr(
        trained_model, "grid_pattern", lambda pictures: np.nan * tf.reduce_sum(pictures)
    )
    assert not float(model.train_step((inputs,))["counted"])


def test_a_full_disk_ends_no_training(photos, tmp_path, monkeypatch):
    def save(*arguments):
        raise TransferError("No space left on device")

    monkeypatch.setattr(checkpoint, "save", save)
    plan = Plan(**students.SMALL, steps=20)
    prepared = prepare_training([students.STYLE], sorted(photos.iterdir()), plan)
    with pytest.warns(UserWarning, match="the run goes on without this checkpoint") as told:
        Training(prepared, tmp_path).run(save_every=0.0)
    assert len(told) == 2  # After the first round, and at the end.
    assert stored.load(tmp_path).steps == 20


def test_a_folder_with_a_training_is_left_alone(command, tmp_path, capfd):
    folder = students.write_untrained(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert stylize_train.main([*command, "--output", str(folder)]) == 2
    error = capfd.readouterr().err
    assert "holds a training already" in error
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["student.npz", "previews/step-000150.jpg"])
def test_a_file_that_a_training_would_write_over_is_left_alone(command, tmp_path, capfd, name):
    other = tmp_path / "model" / name
    other.parent.mkdir(parents=True)
    other.write_text("somebody's")
    assert stylize_train.main([*command, "--output", str(tmp_path / "model")]) == 2
    assert f"{other.name} would be written over" in capfd.readouterr().err
    assert other.read_text() == "somebody's"


def test_what_another_training_did_while_photographs_were_looked_for_counts(
    command, photos, tmp_path, monkeypatch, capfd
):
    output = tmp_path / "model"
    find = train_run.find_photographs

    def meanwhile(folders):
        students.write_untrained(output)
        return find(folders)

    monkeypatch.setattr(train_run, "find_photographs", meanwhile)
    assert stylize_train.main([*command, "--output", str(output)]) == 2
    assert "holds a training already" in capfd.readouterr().err
    shutil.rmtree(output)
    plan = Plan(**students.SMALL, steps=20, device="/CPU:0")
    sources = sorted(photos.iterdir())
    train_student([students.STYLE], sources, output, should_stop=lambda: True, **vars(plan))
    stopped = stored.load(output).steps
    assert stopped < 20

    def to_the_end(folders):
        train_student([students.STYLE], sources, output, resume=True, **vars(plan))
        return find(folders)

    monkeypatch.setattr(train_run, "find_photographs", to_the_end)
    again = ["--resume", str(output), "--style", students.STYLE, "--photos", str(photos)]
    assert stylize_train.main(again) == 2
    assert "has ended already" in capfd.readouterr().err
    assert stored.load(output).steps == 20


def test_bad_requests_are_one_line_and_leave_nothing(photos, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    few = students.write_photographs(tmp_path / "few", 3)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (2000, 1)).save(tmp_path / "narrow.png")
    style = ["--style", students.STYLE]
    before = sorted(tmp_path.rglob("*"))
    for arguments, text in (
        ([], "--style names"),
        ([*style, "--output", "m"], "--photos names"),
        ([*style, "--photos", str(few), "--output", "m"], "Received: 3"),
        ([*style, "--photos", "empty", "--output", "m"], "no folder with photographs"),
        ([*style, "--photos", "missing", "--output", "m"], "no folder with photographs"),
        ([*style, "--photos", str(photos), "--output", f"{photos}/m"], "lies in --photos"),
        (["--style", "narrow.png", "--photos", str(photos), "--output", "m"], "A style image"),
        (["--style", "missing.jpg", "--photos", str(photos), "--output", "m"], "missing.jpg"),
        ([*style, "--photos", str(photos), "--output", "m", "--steps", "0"], "steps is"),
        (
            [*style, "--photos", str(photos), "--output", "m", "--batch", "256"]
            + ["--crop", "256", "--channels", "256"],
            "name a smaller --crop, --batch, --channels or --size",
        ),
        (["--resume", "missing"], "missing"),
        (["--resume", "m", "--steps", "9"], "--steps would have no effect"),
    ):
        assert stylize_train.main(arguments) == 2, arguments
        error = capfd.readouterr().err
        assert text in error, arguments
        assert error.count("\n") == 1, error
    assert sorted(tmp_path.rglob("*")) == before
