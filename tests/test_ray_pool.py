"""Tiles and pictures on Ray: the same bits on any number of workers, also when some are lost."""

import contextlib
import os
import pathlib

import numpy as np
import psutil
import pytest
import tensorflow as tf
from PIL import Image

from tf_style import PRESETS, Features, InputError, Settings, TiledObjective
from tf_style.commands import jobs
from tf_style.images import reading
from tf_style.network import weights
from tf_style.network.architecture import layers_up_to
from tf_style.objective import ray_pool
from tf_style.objective.guides import layer_means
from tf_style.objective.regions import Region
from tf_style.objective.tile_pool import LocalPool
from tf_style.objective.tile_worker import TileWorker

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent
PRESET = PRESETS["gatys2016"]
HEIGHT, WIDTH, TILE_PX = 96, 130, 48


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """A cluster on this machine, to which a test adds nodes of one core."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    # A lost node is missed after a second in place of half a minute, and what else runs on this machine
    # does not starve the workers, which are niced by default.
    system = {
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 2,
        "worker_niceness": 0,
    }
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": system}
    made = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def arrays():
    return weights.load("embedded", layers_up_to(PRESET.layers), normalize_for=PRESET.pooling)


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(0)
    return [np.float32(generator.uniform(0, 255, (1, HEIGHT, WIDTH, 3))) for _ in range(3)]


def objective(pool, arrays, pictures, preset=PRESET, **options):
    content, style, _ = pictures
    return TiledObjective(
        *(Features(preset, arrays), preset),
        content=content,
        styles=[style],
        height=HEIGHT,
        width=WIDTH,
        tile_px=TILE_PX,
        pool=pool,
        **options,
    )


@pytest.fixture(scope="module")
def alone(arrays, pictures):
    """What this process computes by itself."""
    pool = LocalPool(TileWorker(Features(PRESET, arrays), PRESET))
    return objective(pool, arrays, pictures).parts_and_gradient(tf.constant(pictures[2]))


class Spied:
    """A pool that calls a function after a certain result, and after later ones until it has worked."""

    def __init__(self, pool, after, what):
        self._pool, self._after, self._what, self._count = pool, after, what, 0
        self.has_worked = False

    def map(self, method, requests):
        for result in self._pool.map(method, requests):
            self._count += 1
            if self._count >= self._after and not self.has_worked:
                self.has_worked = self._what()
            yield result


def same(found, expected) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_same_bits_on_more_and_more_workers(nodes, arrays, pictures, alone):
    image = tf.constant(pictures[2])
    for _ in range(2):
        nodes.add_node(num_cpus=1)
        pool = ray_pool.RayPool(PRESET, arrays, "float32")
        assert same(objective(pool, arrays, pictures).parts_and_gradient(image), alone)


def test_moments_have_the_same_bits(nodes, pictures):
    preset = PRESETS["painterly"]
    arrays = weights.load_for(preset, "embedded")
    image = tf.constant(pictures[2])
    pool = LocalPool(TileWorker(Features(preset, arrays), preset))
    expected = objective(pool, arrays, pictures, preset).parts_and_gradient(image)
    pool = ray_pool.RayPool(preset, arrays, "float32")
    assert same(objective(pool, arrays, pictures, preset).parts_and_gradient(image), expected)


def test_regions_and_weights_of_places_have_the_same_bits(nodes, pictures):
    preset = PRESETS["painterly"]
    arrays = weights.load_for(preset, "embedded")
    left = np.zeros((1, HEIGHT, WIDTH, 1), np.float32)
    left[:, :, :70] = 1
    options = {
        "regions": [Region.of(each, [None], (1.0,), preset.style_layers) for each in (left, 1 - left)],
        "content_weights": {"conv4_2": layer_means(0.5 + left, ["conv4_2"])["conv4_2"]},
    }
    kind = {"num_guides": 2, "has_content_weights": True}
    local = LocalPool(TileWorker(Features(preset, arrays), preset, **kind))
    image = tf.constant(pictures[2])
    expected = objective(local, arrays, pictures, preset, **options).parts_and_gradient(image)
    pool = ray_pool.RayPool(preset, arrays, "float32", **kind)
    found = objective(pool, arrays, pictures, preset, **options).parts_and_gradient(image)
    assert same(found, expected)
    plain = objective(None, arrays, pictures, preset).parts_and_gradient(image)
    assert not np.allclose(plain[0], expected[0], rtol=1e-2)


def kill_a_busy_worker() -> bool:
    """Kills a process of this cluster that computes a task, if one does just now."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline()[:1] == ["ray::call"]:  # As Ray names it for as long as it does.
                process.kill()
                return True
    return False


def test_a_killed_worker_and_a_removed_node_change_nothing(nodes, arrays, pictures, alone):
    lost = nodes.add_node(num_cpus=1)

    def remove() -> bool:
        nodes.remove_node(lost, allow_graceful=False)
        return True

    for what in (kill_a_busy_worker, remove):
        # Twelve calls prepare the targets; the sixteenth is in the midst of an evaluation.
        pool = Spied(ray_pool.RayPool(PRESET, arrays, "float32"), 16, what)
        tiled = objective(pool, arrays, pictures)
        # Results come in bursts, and a whole evaluation may give none while a worker is busy.
        for _ in range(20):
            # On this thread: Ray starts nodes on the main one only.
            assert same(tiled._evaluate(pictures[2]), alone)
            if pool.has_worked:
                break
        assert pool.has_worked


def test_a_batch_of_24_with_poison_and_a_killed_worker(nodes, tmp_path):
    # All of one size: a worker goes on with the graphs of its last picture.
    cuttings = [str(tmp_path / f"{index}.png") for index in range(13)]
    with Image.open(ROOT / "examples" / "chelsea.jpg") as example:
        for index, path in enumerate(cuttings):
            example.crop((index, 0, 200 + index, 200)).resize((40, 40)).save(path)
    contents, styles = cuttings[:11], cuttings[11:]
    pairs = [(content, style) for content in contents for style in styles]
    (tmp_path / "poison.png").write_bytes(b"no picture")
    pairs.insert(5, (str(tmp_path / "poison.png"), styles[0]))
    pairs.insert(15, (pairs[0][0], str(tmp_path / "poison.png")))
    folder = tmp_path / "made"
    folder.mkdir()
    planned = jobs.make_jobs(pairs, folder, Settings(size=32, iterations=1, precision="float32"))
    assert len(planned) == 24
    found, is_killed = [], False
    for record in jobs.run_on_ray(planned, ray_pool.remote()):
        found.append(record)
        if len(found) >= 12 and not is_killed:
            is_killed = kill_a_busy_worker()
    assert is_killed
    assert sorted(record["status"] for record in found) == ["error"] * 2 + ["made"] * 22
    assert {record["output"] for record in found} == {job.output for job in planned}
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(made) == 22
    assert {reading.read(path).width for path in made} == {32}
    again = list(jobs.run_on_ray(planned, ray_pool.remote()))
    assert sorted(record["status"] for record in again) == ["error"] * 2 + ["there"] * 22
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == made


def test_no_cluster_is_an_input_error(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def fail(**options):
        raise ConnectionError("no one there")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(InputError, match="No Ray cluster answers"):
        ray_pool.connect("127.0.0.1:1")
