"""How soon the loss of style-transfer-pytorch's finished pictures is reached under its own objective.

python benchmarks/quality.py --output FOLDER --size 256 --peers style-transfer-pytorch \
    --peer-folder CHECKOUT
python benchmarks/peer_objective.py FOLDER
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import quality_metrics
import results
import tensorflow as tf
from PIL import Image

from tf_style import PRESETS, Features, Settings, prepare
from tf_style.network.weights import load_for
from tf_style.objective.scales import content_scale, style_scales

PEER = "style-transfer-pytorch"
PRESET = PRESETS[PEER]
ITERATIONS = (10, 15, 20, 30, 45, 60, 90, 120, 180)
ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of a run of quality.py")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    lines = [
        f"`{PEER}` is its picture of 250 iterations of Adam at 128 pixels and 120 at each size above.",
        "Ours: the fewest iterations, of those tried, whose picture's loss is no higher. Both",
        "pictures, as they were written, are scored by one float64 evaluator of its objective.",
        "Seconds: from the shell.",
        "",
        "| pair | its loss | its evaluations | its seconds | our loss | evaluations | seconds "
        "| evaluations, ratio | seconds, ratio |",
        f"|{'---|' * 9}",
    ]
    for pair in sorted(path.parent for path in arguments.folder.glob(f"*/{PEER}.png")):
        record = json.loads((pair / f"{PEER}.json").read_text())
        loss_of = Evaluator(pair, record["size"])
        theirs = loss_of(pair / f"{PEER}.png")
        steps = _evaluations(record["flags"])
        for iterations in ITERATIONS:
            ours, evaluations, seconds = reached(pair, record["size"], iterations, loss_of)
            if ours <= theirs:
                break
            print(f"{pair.name}: {iterations} iterations, {ours:.4g}, {theirs:.4g} asked", flush=True)
        lines.append(
            f"| {pair.name} | {theirs:.4g} | {steps} | {record['seconds']:.0f} | {ours:.4g} "
            f"| {evaluations} | {seconds:.0f} | {steps / evaluations:.1f} "
            f"| {record['seconds'] / seconds:.1f} |"
        )
        print(lines[-1], flush=True)
    results.report("peer objective", lines, write=arguments.write)


class Evaluator:
    """The objective of one pair in float64, of float32 activations."""

    def __init__(self, pair: pathlib.Path, size_px: int):
        """Computes the targets of a pair at a size."""
        files = str(pair / "content.png"), [str(pair / "style.png")]
        inputs = prepare(*files, Settings(preset=PEER, size=size_px))
        self._features = Features(PRESET, load_for(PRESET, "embedded"))
        level = inputs.levels[-1]
        self._content = self._activations(level.content)["conv4_2"]
        style = self._activations(level.styles[0])
        self._style = {name: quality_metrics.moments(style[name]) for name in PRESET.style_layers}

    def __call__(self, path: pathlib.Path) -> float:
        """The loss of a picture."""
        picture = np.asarray(Image.open(path).convert("RGB"), np.float64)
        activations = self._activations(picture)
        found = activations["conv4_2"]
        scale = content_scale(PRESET)(found.shape[1], len(found))
        loss = scale * np.square(found - self._content).sum()
        for name, of_layer in style_scales(PRESET).items():
            own = quality_metrics.moments(activations[name])
            square = quality_metrics.squared_distance(own, self._style[name])
            loss += of_layer(activations[name].shape[1], 1.0) * square
        differences = (np.diff(picture, axis=axis) for axis in (0, 1))
        return loss + PRESET.tv_weight * sum(np.square(each).mean() for each in differences)

    def _activations(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """[positions, channels] by layer, float64."""
        outputs = self._features(tf.constant(picture[np.newaxis], tf.float32))
        return {
            name: np.float64(each.numpy()).reshape(-1, each.shape[-1]) for name, each in outputs.items()
        }


def reached(
    pair: pathlib.Path, size_px: int, iterations: int, loss_of: Evaluator
) -> tuple[float, int, float]:
    """Loss, evaluations and seconds of a run of ours from the shell."""
    with tempfile.TemporaryDirectory() as folder:
        output, trace = (pathlib.Path(folder) / name for name in ("out.png", "trace.json"))
        command = [sys.executable, str(ROOT / "bin" / "stylize"), "--quiet", "--preset", PEER]
        command += ["--content", str(pair / "content.png"), "--style", str(pair / "style.png")]
        command += ["--size", str(size_px), "--iterations", str(iterations)]
        start = time.time()
        subprocess.run([*command, "--output", str(output), "--trace", str(trace)], check=True)
        seconds = time.time() - start
        return loss_of(output), len(json.loads(trace.read_text())["evaluations"]), seconds


def _evaluations(flags: list[str]) -> int:
    """Of the peer: its first size's, and two larger ones', from 128 to 256 pixels."""
    counts = dict(zip(flags[::2], map(int, flags[1::2]), strict=True))
    return counts["--initial-iterations"] + 2 * counts["--iterations"]


if __name__ == "__main__":
    main()
