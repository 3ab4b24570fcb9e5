"""What regions cost: an evaluation and a run with three of them, against one without.

python benchmarks/regions.py
"""

import argparse
import functools
import pathlib
import statistics
import time

import evaluation
import numpy as np
import results
import tensorflow as tf

from tf_style import Masks, Settings, StyleTransfer, prepare, read_image

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
PHOTOGRAPH = str(EXAMPLES / "chelsea.jpg")
STYLES = [str(EXAMPLES / f"{name}.jpg") for name in ("style", "mosaic", "strokes")]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="the photograph's longer side, in pixels")
    parser.add_argument("--runs", type=int, default=7, help="calls of each")
    parser.add_argument("--iterations", type=int, default=100, help="of a run")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    lines = [
        f"A photograph of {arguments.size} pixels in three styles, one for each third of it, over the",
        "same in the three styles everywhere. Evaluation: median of interleaved calls. Run:",
        f"{arguments.iterations} iterations, tracing included, median of {arguments.repeats}.",
        "",
        "| style statistic | evaluation s | with regions s | ratio | run s | with regions s | ratio |",
        f"|{'---|' * 7}",
    ]
    for preset in ("gatys2016", "painterly"):
        prepared = [
            prepare(
                PHOTOGRAPH,
                STYLES,
                Settings(preset=preset, size=arguments.size, iterations=arguments.iterations),
                masks=masks,
            )
            for masks in (None, thirds())
        ]
        transfers = [StyleTransfer(inputs) for inputs in prepared]
        for transfer in transfers:
            last = len(transfer.inputs.levels) - 1
            if last:
                size = transfer.inputs.levels[last].level
                transfer._enter(last, tf.zeros([1, size.height, size.width, 3]))
        image = tf.constant(prepared[0].levels[-1].content[np.newaxis])
        functions = {
            str(index): functools.partial(transfer.objective.parts_and_gradient, image)
            for index, transfer in enumerate(transfers)
        }
        times = evaluation.medians(functions, arguments.runs)
        seconds = [times["0"], times["1"]]
        runs: list[list[float]] = [[], []]
        for _ in range(arguments.repeats):
            for place, inputs in enumerate(prepared):
                start = time.perf_counter()
                StyleTransfer(inputs).run()
                runs[place].append(time.perf_counter() - start)
        seconds += [statistics.median(each) for each in runs]
        cells = [f"{seconds[0]:.3f}", f"{seconds[1]:.3f}", f"{seconds[1] / seconds[0]:.2f}"]
        cells += [f"{seconds[2]:.1f}", f"{seconds[3]:.1f}", f"{seconds[3] / seconds[2]:.2f}"]
        lines.append(f"| {prepared[0].preset.style_statistic} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    results.report("regions", lines, write=arguments.write)


def thirds() -> Masks:
    """Three upright thirds of the photograph."""
    height, width = read_image(PHOTOGRAPH).pixels.shape[:2]
    third = np.arange(width) * 3 // width
    return Masks(tuple(np.tile(np.float32(third == each), (height, 1)) for each in range(3)))


if __name__ == "__main__":
    main()
