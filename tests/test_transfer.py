"""Transfers through the library, with few and shallow layers of the real network at small sizes."""

import weakref

import numpy as np
import pytest
import tensorflow as tf

import tf_style
from tf_style import Status

SMALL = {
    "size": 48,
    "content_layers": ("conv2_2",),
    "style_layers": ("conv1_1", "conv2_1"),
    "precision": "float32",
    "device": "/CPU:0",
    "levels": 1,
}


@pytest.fixture(scope="module")
def content():
    y, x = np.mgrid[0:36, 0:48] / 48.0
    return np.stack([x, y, 0.5 + 0.5 * np.sin(20 * x * y)], axis=-1)


@pytest.fixture(scope="module")
def style():
    generator = np.random.default_rng(5)
    coarse = generator.uniform(0, 1, (10, 14, 3))
    return np.kron(coarse, np.ones((4, 4, 1)))


def test_lowers_the_loss_and_says_how(content, style):
    result = tf_style.stylize(content, style, iterations=12, **SMALL)
    assert result.image.shape == (36, 48, 3)
    assert result.image.dtype == np.float32
    assert 0 <= result.image.min() <= result.image.max() <= 1
    assert result.alpha is None
    assert result.status == Status.MAX_ITERATIONS
    assert result.iterations == 12
    losses = [evaluation.loss for evaluation in result.evaluations]
    assert losses[-1] < losses[0] / 2
    assert [evaluation.index for evaluation in result.evaluations] == list(range(len(losses)))
    for evaluation in result.evaluations:
        assert evaluation.loss == evaluation.content + evaluation.style + evaluation.tv
    times = [evaluation.time for evaluation in result.evaluations]
    assert times == sorted(times)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_twice_gives_the_same_bits(content, style, precision):
    settings = SMALL | {"init": "noise", "seed": 7, "iterations": 6, "precision": precision}
    first, second = (tf_style.stylize(content, style, **settings) for _ in range(2))
    assert (first.image == second.image).all()
    assert [e.loss for e in first.evaluations] == [e.loss for e in second.evaluations]


def test_goes_on_with_the_graphs_of_another_to_the_same_bits(content, style):
    def made(*pictures, like=None, **changes):
        settings = tf_style.Settings(**SMALL | {"iterations": 4} | changes)
        transfer = tf_style.StyleTransfer(tf_style.prepare(*pictures, settings), like=like)
        return transfer, transfer.run().image

    first, _ = made(style, [content])
    features, held = first.features, [weakref.ref(level.content) for level in first.inputs.levels]
    pictures = tf.nest.flatten(first.objective._of_pictures)
    first.rest()
    # Of its pictures nothing is left but a few numbers.
    assert [reference() for reference in held] == [None] * len(held)
    sizes = [int(tf.size(variable)) for variable in pictures if variable is not None]
    assert 0 < sum(sizes) < 100
    # Another size, and a start that is no part of the objective.
    second, image = made(content, [style], like=first, size=32, init="style", levels=1)
    assert second.features is features
    np.testing.assert_array_equal(image, made(content, [style], size=32, init="style")[1])
    # The weights are inputs of the graph.
    weights = {"strength": 0.7, "style_weight": 0.3}
    third, image = made(content, [style], like=second, **weights)
    assert third.features is features
    np.testing.assert_array_equal(image, made(content, [style], **weights)[1])
    settings = tf_style.Settings(**SMALL, padding="zero")
    other = tf_style.StyleTransfer(tf_style.prepare(content, [style], settings), like=third)
    assert other.features is not features


@pytest.mark.parametrize("optimizer", ["tfp", "adam"])
def test_other_optimizers_lower_the_loss_too(content, style, optimizer):
    result = tf_style.stylize(content, style, optimizer=optimizer, iterations=10, **SMALL)
    assert result.status == Status.MAX_ITERATIONS
    assert result.iterations == 10
    assert result.evaluations[-1].loss < result.evaluations[0].loss / 2


def test_callback_sees_the_picture_grow(content, style):
    seen = []

    def callback(progress):
        seen.append((progress.iteration, len(progress.evaluations), progress.read_image()))
        assert (progress.height, progress.width) == (36, 48)
        assert progress.max_iterations == 9

    result = tf_style.stylize(content, style, iterations=9, callback=callback, **SMALL)
    assert seen[-1][0] == 9
    assert seen[-1][1] == len(result.evaluations)
    assert (seen[-1][2] == result.image).all()
    assert not (seen[0][2] == result.image).all()


def test_can_be_stopped(content, style):
    seen = []
    result = tf_style.stylize(
        content,
        style,
        iterations=1000,
        callback=seen.append,
        should_stop=lambda: len(seen) == 2,
        **SMALL,
    )
    assert result.status == Status.INTERRUPTED
    assert len(seen) == 2
    assert result.iterations == seen[-1].iteration < 1000


def test_content_alone_is_reconstructed(content):
    result = tf_style.stylize(
        content, [], size=48, content_layers=("conv1_1",), iterations=40, precision="float32"
    )
    # The first layer keeps nearly all of a picture. The noise is 0.26 away; the end, measured, 0.0016.
    assert np.abs(result.image - content).mean() < 0.01


def test_style_alone_becomes_a_texture(style):
    settings = {name: value for name, value in SMALL.items() if name != "content_layers"}
    result = tf_style.stylize(None, style, iterations=10, **settings)
    assert result.image.shape == (34, 48, 3)
    assert all(evaluation.content == 0 for evaluation in result.evaluations)
    assert result.evaluations[-1].loss < result.evaluations[0].loss / 2


def test_an_interrupted_transfer_goes_on_to_the_same_bits(content, style):
    settings = tf_style.Settings(**(SMALL | {"iterations": 12, "levels": 2}))
    inputs = tf_style.prepare(content, [style], settings)
    straight = tf_style.StyleTransfer(inputs).run()
    transfer = tf_style.StyleTransfer(inputs)
    calls, statuses = [], []
    while not statuses or statuses[-1] == Status.INTERRUPTED:
        # Stopped within each level and where one ends.
        calls.clear()
        result = transfer.run(
            callback=calls.append, callback_every=2, should_stop=lambda: len(calls) == 2
        )
        statuses.append(result.status)
    assert len(statuses) > 2
    assert result.iterations == straight.iterations == 12
    assert (result.image == straight.image).all()
    assert [e.loss for e in result.evaluations] == [e.loss for e in straight.evaluations]
    assert transfer.run().evaluations == result.evaluations


def test_levels_go_from_coarse_to_fine(content, style):
    seen = []
    settings = SMALL | {"iterations": 12, "levels": 3, "content_layers": ("conv1_2",)}
    settings |= {"preset": "gatys2016"}
    result = tf_style.stylize(content, style, callback=seen.append, **settings)
    assert result.image.shape == (36, 48, 3)
    sizes = {progress.level: (progress.height, progress.width) for progress in seen}
    assert sizes == {0: (9, 12), 1: (18, 24), 2: (36, 48)}
    assert all(progress.read_image().shape == (36, 48, 3) for progress in seen)
    assert {(progress.num_levels, progress.max_iterations) for progress in seen} == {(3, 12)}
    assert result.iterations == 12
    levels = [evaluation.level for evaluation in result.evaluations]
    assert levels == sorted(levels)
    assert set(levels) == {0, 1, 2}
    # The last level starts from what the others have found.
    alone = tf_style.stylize(content, style, **(settings | {"levels": 1}))
    first = next(evaluation for evaluation in result.evaluations if evaluation.level == 2)
    assert first.loss < alone.evaluations[0].loss


def test_the_final_evaluation_is_the_pictures(content, style):
    """The optimiser's last try may be one that it rejects."""
    for optimizer in ("lbfgs", "tfp", "adam"):
        settings = tf_style.Settings(optimizer=optimizer, iterations=15, **SMALL)
        transfer = tf_style.StyleTransfer(tf_style.prepare(content, [style], settings))
        result = transfer.run()
        parts, _ = transfer.objective.parts_and_gradient(transfer.image.read_value())
        expected = [result.final.content, result.final.style, result.final.tv]
        # The same function on the same bits, but for tfp, whose position passes through a reshape.
        np.testing.assert_allclose(parts[0], expected, rtol=1e-6)


def test_a_callback_can_be_asked_for_at_every_so_many_iterations(content, style):
    seen = []
    settings = tf_style.Settings(**(SMALL | {"iterations": 20, "levels": 2}))
    transfer = tf_style.StyleTransfer(tf_style.prepare(content, [style], settings))
    transfer.run(callback=seen.append, callback_every=7)
    assert {7, 14} <= {progress.iteration for progress in seen}


def test_unknown_settings_and_devices_are_refused(content, style):
    with pytest.raises(TypeError, match="sise"):
        tf_style.stylize(content, style, sise=48)
    with pytest.raises(tf_style.InputError, match="GPU:7"):
        tf_style.stylize(content, style, **(SMALL | {"device": "/GPU:7"}))


@pytest.mark.parametrize(("tile", "below"), [(144, "Objective"), (96, "TiledObjective")])
def test_a_level_is_freed_before_a_tiled_one_is_made(content, style, monkeypatch, tile, below):
    settings = SMALL | {"iterations": 4, "levels": 2, "size": 160, "tile": tile}
    transfer = tf_style.StyleTransfer(tf_style.prepare(content, [style], tf_style.Settings(**settings)))
    assert type(transfer.objective).__name__ == below
    make, made, alive = type(transfer)._make_objective, [], []

    def callback(progress):
        # The variable is one of those that the minimiser's graph holds.
        made.extend(map(weakref.ref, (transfer.image, transfer.objective, transfer._minimizer)))

    def spied(self, pictures):
        alive.extend(reference() for reference in made)
        return make(self, pictures)

    monkeypatch.setattr(type(transfer), "_make_objective", spied)
    transfer.run(callback=callback)
    assert type(transfer.objective).__name__ == "TiledObjective"
    assert len(alive) >= 3
    assert all(thing is None for thing in alive)


def test_all_sizes_share_one_graph_and_the_last_ones_alone_are_kept(content, style):
    settings = tf_style.Settings(**(SMALL | {"iterations": 6, "levels": 3, "preset": "gatys2016"}))
    transfer = tf_style.StyleTransfer(tf_style.prepare(content, [style], settings))
    transfer.run()
    assert transfer.objective.parts_and_gradient.experimental_get_tracing_count() == 1
    kept = {name: array.shape for name, array in transfer.state().items() if array.ndim == 4}
    assert len(kept) > 20
    assert set(kept.values()) == {(1, 36, 48, 3)}
