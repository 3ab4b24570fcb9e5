"""What the moments' square roots take of an evaluation, and their rounding errors in float32.

python benchmarks/roots.py
"""

import argparse
import functools
import pathlib
from collections.abc import Sequence

import evaluation
import numpy as np
import results
import tensorflow as tf

from tf_style import PRESETS, Features, Objective, read_image
from tf_style.images.picture import resize
from tf_style.network.weights import load_for
from tf_style.objective.gaussian import GaussianTarget, distances_and_derivatives
from tf_style.objective.moments_style import MomentsStyle

PRESET = PRESETS["painterly"]
EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
SIZES = ((256, 192), (512, 384), (1024, 768))

# What is compared of a layer: a mean, a covariance and a target.
Compared = tuple[tf.Tensor, tf.Tensor, GaussianTarget]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9, help="calls of each")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    arrays = load_for(PRESET, "embedded")
    lines = [
        "coffee.jpg in style.jpg, both stretched. Medians of interleaved calls. Errors: what float32",
        "rounds against the same iteration in float64, the largest of the layers; the distance's",
        "relative to the sum of both traces, the derivative's to its norm.",
        "",
        "| size | precision | an evaluation, s | roots, s | share | distance's error | derivative's |",
        f"|{'---|' * 7}",
    ]
    roots = tf.function(distances_and_derivatives, autograph=False)
    for precision in ("bfloat16", "float32"):
        features = Features(PRESET, arrays, precision=precision)
        for width, height in SIZES:
            content, style = (
                tf.constant(255 * resize(read_image(EXAMPLES / name).pixels, height, width)[np.newaxis])
                for name in ("coffee.jpg", "style.jpg")
            )
            objective = Objective(features, PRESET, content=content, styles=[style])
            compared = moments_of(features, content, style)
            seconds = evaluation.medians(
                {
                    "evaluation": functools.partial(objective.parts_and_gradient, content),
                    "roots": functools.partial(roots, compared),
                },
                arguments.runs,
            )
            distance, derivative = errors(compared)
            lines.append(
                f"| {width}x{height} | {precision} | {seconds['evaluation']:.3f} "
                f"| {seconds['roots']:.4f} | {seconds['roots'] / seconds['evaluation']:.1%} "
                f"| {distance:.1e} | {derivative:.1e} |"
            )
            print(lines[-1], flush=True)
    results.report("roots", lines, write=arguments.write)


def moments_of(features: Features, content: tf.Tensor, style: tf.Tensor) -> list[Compared]:
    """What an evaluation at the content compares, layer by layer."""
    statistic = MomentsStyle()
    of_content, of_style = features(content), features(style)
    compared = []
    for name in PRESET.style_layers:
        own, wanted = (statistic.sums(each[name]) for each in (of_content, of_style))
        counts = [float(each[0, -1, 0]) for each in (own, wanted)]
        target = statistic.target([wanted], counts[1:], None)
        compared.append((own[:, -2], own[:, :-2] / counts[0], target))
    return compared


def errors(compared: Sequence[Compared]) -> tuple[float, float]:
    """The largest errors in float32 of a distance and of a derivative."""
    exact = tf.nest.map_structure(lambda each: tf.cast(each, tf.float64), list(compared))
    of_distance, of_derivative = [], []
    for (_, covariance, target), found, wanted in zip(
        exact, distances_and_derivatives(compared), distances_and_derivatives(exact), strict=True
    ):
        traces = tf.linalg.trace(covariance) + tf.reduce_sum(target.variances, axis=1) + target.rest
        off = [tf.cast(mine, tf.float64) - its for mine, its in zip(found, wanted, strict=True)]
        of_distance.append(float(tf.abs(off[0])[0] / traces[0]))
        of_derivative.append(float(tf.norm(off[1]) / tf.norm(wanted[1])))
    return max(of_distance), max(of_derivative)


if __name__ == "__main__":
    main()
