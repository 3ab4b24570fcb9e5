"""Tiles against the whole picture: time, memory, the picture, and whether tiles show in it.

python benchmarks/tiles.py --content photo.jpg --style painting.jpg
python benchmarks/tiles.py --size 4096 --levels 4 --iterations 60 --history 10 --memory 6 --tiles auto
python benchmarks/tiles.py --size 16384 --evaluation 1536
"""

import argparse
import math
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import results
from PIL import Image

from tf_style import PRESETS, Settings
from tf_style.objective.tile_plan import halo_px, plan_tiles
from tf_style.transfer.devices import resolve_device, resolve_precision

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import peak_memory  # noqa: E402

# Of float32 numbers, about a unit in the last place.
CHANGE = 1e-7


def main() -> None:
    """Prints a table of runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--content", default=str(ROOT / "examples" / "coffee.jpg"))
    parser.add_argument("--style", default=str(ROOT / "examples" / "style.jpg"))
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--levels", type=int, default=1)
    parser.add_argument("--history", type=int, default=10)
    parser.add_argument("--precision", default="auto", help="the value of --precision")
    parser.add_argument("--memory", help="the value of --memory")
    parser.add_argument(
        "--evaluation", type=int, metavar="PX", help="only one evaluation, by tiles of this side"
    )
    parser.add_argument("--tiles", default="off,512", help="the values of --tile to compare")
    parser.add_argument("--output", help="keep the pictures in this folder")
    parser.add_argument("--write", metavar="TITLE", help="replace this section in RESULTS.md")
    arguments = parser.parse_args()
    if arguments.evaluation is not None:
        text = evaluation(arguments)
        print(text)
        if arguments.write:
            results.replace_section(arguments.write, text)
        return
    tiles = arguments.tiles.split(",")
    lines = [
        f"{results.machine()}. {pathlib.Path(arguments.content).name} in "
        f"{pathlib.Path(arguments.style).name}, {arguments.size} px, {arguments.iterations} iterations "
        f"in {arguments.levels} levels, {arguments.history} pairs, precision {arguments.precision}. "
        "Floor: 1.5 times the crops' pixels over the picture's, for two passes forward and one back.",
        "",
        "| --tile | seconds of the optimisation | times the first | floor | peak MiB | estimated "
        "| mean difference to the first, levels | gradient on tile borders / elsewhere "
        "| there in the first |",
        f"|{'---|' * 9}",
    ]
    first = None
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for tile in tiles:
            output = folder / f"tile-{tile}.png"
            seconds, peak, estimated, chosen = run(arguments, tile, output)
            picture = np.asarray(Image.open(output), np.float64)
            first = (seconds, picture) if first is None else first
            border = before = least = "-"
            if chosen:
                border, before = (borders(each, int(chosen)) for each in (picture, first[1]))
                least = floor(picture, int(chosen))
            difference = np.abs(picture - first[1]).mean()
            name = f"auto ({chosen})" if tile == "auto" else tile
            lines.append(
                f"| {name} | {seconds:.0f} | {seconds / first[0]:.2f} | {least} | {peak:.0f} "
                f"| {estimated} | {difference:.2f} | {border} | {before} |"
            )
            print(lines[-1], flush=True)
        if tiles[0] == "off":
            difference = np.abs(with_changed_start(arguments) - first[1]).mean()
            name = f"off, the start changed by {CHANGE:g}"
            lines.append(f"| {name} | - | - | - | - | - | {difference:.2f} | - | - |")
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        results.replace_section(arguments.write, text)


def run(
    arguments: argparse.Namespace, tile: str, output: pathlib.Path
) -> tuple[float, float, str, str | None]:
    """Seconds, the peak resident size in MiB, the estimate of it, and the tile's side if any."""
    command = [sys.executable, str(ROOT / "bin" / "stylize"), "--tile", tile]
    command += ["--content", arguments.content, "--style", arguments.style, "--output", str(output)]
    command += ["--size", str(arguments.size), "--iterations", str(arguments.iterations)]
    command += ["--levels", str(arguments.levels), "--history", str(arguments.history)]
    command += ["--precision", arguments.precision]
    if arguments.memory:
        command += ["--memory", arguments.memory]
    planned = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
    estimated = re.search(r"memory: about ([\d.]+ GiB)", planned.stdout)[1]
    chosen = re.search(r"by tiles of (\d+)", planned.stdout)
    done, peak = peak_memory.run(command)
    if done.returncode:
        sys.exit(done.stderr)
    seconds = float(re.search(r"([\d.]+) s \(", done.stderr)[1])
    return seconds, peak / 2**20, estimated, chosen and chosen[1]


def evaluation(arguments: argparse.Namespace) -> str:
    """One evaluation of a huge picture and what comes before it: a line each, with time and memory."""
    import tensorflow as tf

    from tf_style import Features, TiledObjective, prepare

    def step(what: str) -> str:
        nonlocal last
        now = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        line = f"| {what} | {now - last:.0f} | {peak:.1f} |"
        print(line, flush=True)
        last = time.perf_counter()
        return line

    last = time.perf_counter()
    settings = Settings(size=arguments.size, levels=1, iterations=1)
    inputs = prepare(arguments.content, [arguments.style], settings)
    lines = [step("reading and resizing the pictures")]
    (level,) = inputs.levels
    precision = resolve_precision("auto", resolve_device(None))
    features = Features(inputs.preset, inputs.weights, precision=precision)
    objective = TiledObjective(
        features,
        inputs.preset,
        content=level.content[np.newaxis],
        styles=[style[np.newaxis] for style in level.styles],
        height=inputs.height,
        width=inputs.width,
        tile_px=arguments.evaluation,
    )
    lines.append(step("the targets: the content's activations and the style's Gram matrices"))
    parts, gradient = objective.parts_and_gradient(tf.constant(level.content[np.newaxis]))
    lines.append(step("one evaluation, loss and gradient"))
    assert np.isfinite(parts.numpy()).all()
    assert bool(tf.reduce_all(tf.math.is_finite(gradient)))
    head = (
        f"{results.machine()}. {inputs.width} x {inputs.height} pixels in {precision}, by tiles of "
        f"{arguments.evaluation} pixels."
    )
    return "\n".join([head, "", "| step | seconds | peak so far, GiB |", "|---|---|---|", *lines])


def with_changed_start(arguments: argparse.Namespace) -> np.ndarray:
    """The whole picture's run from a start that differs by rounding: how far that alone leads away."""
    from tf_style import StyleTransfer, prepare

    names = ("size", "iterations", "levels", "history", "precision")
    settings = Settings(tile="off", **{name: getattr(arguments, name) for name in names})
    transfer = StyleTransfer(prepare(arguments.content, [arguments.style], settings))
    noise = np.random.default_rng(0).standard_normal(transfer.image.shape).astype(np.float32)
    transfer.image.assign(transfer.image * (1 + CHANGE * noise))
    return np.round(255.0 * transfer.run().image)


def floor(picture: np.ndarray, tile_px: int) -> str:
    """What an evaluation by tiles costs at least, in evaluations of the whole picture."""
    height, width = picture.shape[:2]
    layers = PRESETS[Settings().preset].layers
    tiles = plan_tiles(height, width, tile_px, layers, halo=halo_px(layers))
    pixels = sum(tile.crop(picture[np.newaxis])[0, ..., 0].size for tile in tiles)
    return f"{1.5 * pixels / (height * width):.2f}"


def borders(picture: np.ndarray, tile_px: int) -> str:
    """The mean difference of neighbours across tiles' borders, over that elsewhere, and its deviation.

    Elsewhere is where the network's last pooling has a border too: every 16 pixels neighbours differ
    more, with and without tiles. The deviation is that of a mean of as many of those lines.
    """
    ratios = []
    for axis in (0, 1):
        length = picture.shape[axis]
        side = math.ceil(math.ceil(length / math.ceil(length / tile_px)) / 16) * 16
        steps = np.abs(np.diff(picture, axis=axis)).mean(axis=(1 - axis, 2))
        places = np.arange(15, len(steps), 16)
        is_border = (places + 1) % side == 0
        if is_border.any():
            elsewhere = steps[places[~is_border]]
            ratio = steps[places[is_border]].mean() / elsewhere.mean()
            deviation = elsewhere.std() / elsewhere.mean() / is_border.sum() ** 0.5
            ratios.append(f"{ratio:.3f} ± {deviation:.3f}")
    return " and ".join(ratios) or "-"


if __name__ == "__main__":
    main()
