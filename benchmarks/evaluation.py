"""What one evaluation of the objective costs, by size, against the bare convolutions in it.

python benchmarks/evaluation.py
"""

import argparse
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable

import gram as gram_benchmark
import numpy as np
import results
import tensorflow as tf

from tf_style import PRESETS, Features, Objective
from tf_style.network import weights
from tf_style.network.architecture import ConvLayer, find_layer, layers_up_to
from tf_style.network.conv_relu import ConvRelu2D
from tf_style.objective.objective import COMPILED

PRESET = PRESETS["gatys2016"]
LAYERS = layers_up_to(PRESET.layers)
SIZES = ((256, 192), (512, 384), (1024, 768), (2048, 1536), (4096, 3072))
# What a CPU takes too long for is asked for by its size.
USUAL = (256, 512, 1024, 2048)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="calls of each; fewer of long ones")
    parser.add_argument(
        "--compiled",
        default=COMPILED,
        choices=("nothing", "network", "whole"),
        help="what XLA compiles of an evaluation (default: %(default)s)",
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=USUAL,
        choices=[width for width, _ in SIZES],
        help="the longer sides in pixels",
    )
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    # Where a GPU would round what is called float32.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    lines = [
        "Medians of interleaved calls. GFLOP/s are those of the definition; ours need fewer.",
        "Bare convolutions: forward and input gradient, on data of the same shapes, TensorFlow's and",
        "ours. Overhead: what the evaluation takes beyond them.",
        "",
        "| size | dtype | seconds | microseconds / pixel | GFLOP/s | of the GEMM peak "
        "| TensorFlow's convolutions s | overhead | ours s | overhead |",
        f"|{'---|' * 10}",
    ]
    arrays = weights.load("embedded", LAYERS, normalize_for=PRESET.pooling)
    for dtype in (tf.bfloat16, tf.float32):
        peak = gram_benchmark.gemm_peak(dtype, arguments.runs)
        features = Features(PRESET, arrays, precision=dtype.name)
        for width, height in (size for size in SIZES if size[0] in arguments.sizes):
            pixels = width * height
            image = tf.random.uniform([1, height, width, 3], maxval=255.0)
            objective = Objective(
                features, PRESET, content=image, styles=[image], compiled=arguments.compiled
            )
            functions = {
                "evaluation": functools.partial(objective.parts_and_gradient, image),
                "bare": bare_convolutions(height, width, dtype),
            }
            if not gram_benchmark.ON_GPU:  # Our convolutions are for the CPU.
                functions["own"] = own_convolutions(height, width, dtype)
            runs = max(3, min(arguments.runs, arguments.runs * 1_000_000 // pixels))
            times = medians(functions, runs)
            rate = 1e-9 * flops(pixels) / times["evaluation"]
            convolutions = []
            for name in ("bare", "own"):
                if name in times:
                    overhead = 100 * (times["evaluation"] / times[name] - 1)
                    convolutions.append(f"{times[name]:.4g} | {overhead:.1f} %")
                else:
                    convolutions.append("- | -")
            lines.append(
                f"| {width}x{height} | {dtype.name} | {times['evaluation']:.4g} "
                f"| {1e6 * times['evaluation'] / pixels:.2f} | {rate:.0f} "
                f"| {100 * rate / peak:.0f} % of {peak:.0f} "
                f"| {' | '.join(convolutions)} |"
            )
            print(lines[-1], flush=True)
    title = "evaluation"
    if arguments.compiled != COMPILED:
        title += f", {arguments.compiled} by XLA"
    results.report(title, lines, write=arguments.write)


def flops(pixels: int) -> float:
    """Of the convolutions forward and at the input, and of the Gram matrices, whose symmetry counts."""
    total = 0.0
    for layer in LAYERS:
        total += 2 * 2 * 9 * layer.in_channels * layer.channels / layer.stride**2
    for name in PRESET.style_layers:
        layer = find_layer(name)
        total += 1.5 * 2 * layer.channels**2 / layer.stride**2
    return total * pixels


def bare_convolutions(height: int, width: int, dtype: tf.DType) -> Callable[[], tf.Tensor]:
    """All convolutions of an evaluation one after the other, forward and with respect to the input."""

    def data(*shape: int) -> tf.Tensor:
        return tf.cast(tf.random.normal(shape), dtype)

    @dataclasses.dataclass
    class Convolution:
        layer: ConvLayer
        kernel: tf.Tensor

        def shape(self, channels: int) -> tuple[int, int, int, int]:
            return 1, height // self.layer.stride, width // self.layer.stride, channels

    convolutions = [
        Convolution(layer, data(3, 3, layer.in_channels, layer.channels)) for layer in LAYERS
    ]
    # One input and one gradient for each shape that occurs.
    tensors = {}
    for convolution in convolutions:
        for channels in (convolution.layer.in_channels, convolution.layer.channels):
            shape = convolution.shape(channels)
            if shape not in tensors:
                tensors[shape] = data(*shape)

    @tf.function
    def run() -> tf.Tensor:
        # All are summed up: what only a control dependency asks for, TensorFlow leaves out.
        done = tf.zeros([], dtype)
        for convolution in convolutions:
            with tf.control_dependencies([done]):
                x = tensors[convolution.shape(convolution.layer.in_channels)]
                done += tf.nn.conv2d(x, convolution.kernel, 1, "SAME")[0, 0, 0, 0]
        for convolution in reversed(convolutions):
            with tf.control_dependencies([done]):
                gradient = tensors[convolution.shape(convolution.layer.channels)]
                shape = convolution.shape(convolution.layer.in_channels)
                x = tf.nn.conv2d_transpose(gradient, convolution.kernel, shape, 1, "SAME")
                done += x[0, 0, 0, 0]
        return done

    return run


def own_convolutions(height: int, width: int, dtype: tf.DType) -> Callable[[], tf.Tensor]:
    """The same with this package's operations."""
    parts = []
    for layer in LAYERS:
        own = ConvRelu2D(
            layer.channels,
            padding="same",
            kernel="custom",
            name=layer.name,
            precision=dtype.name,
            in_float32=layer.in_channels == 3,
        )
        own.build((None, None, None, layer.in_channels))
        shape = (3, 3, layer.in_channels, layer.channels)
        own.load(np.float32(np.random.default_rng(0).normal(size=shape)), np.zeros(layer.channels, "f"))
        size = (1, height // layer.stride, width // layer.stride)
        x = tf.random.normal([*size, layer.in_channels])
        x = x if layer.in_channels == 3 else tf.cast(x, dtype)
        parts.append((own, x, tf.cast(tf.random.normal([*size, layer.channels]), dtype)))

    @tf.function
    def run() -> tf.Tensor:
        done = tf.zeros([])
        for own, x, upstream in parts:
            with tf.control_dependencies([done]), tf.GradientTape() as tape:
                tape.watch(x)
                y = own(x)
            for value in (y, tape.gradient(y, x, upstream)):
                done += tf.cast(value[0, 0, 0, 0], tf.float32)
        return done

    return run


def medians(functions: dict[str, Callable], runs: int) -> dict[str, float]:
    """The median seconds of a call of each, called in turn after two calls that do not count."""
    times = {name: [] for name in functions}
    for run in range(-2, runs):
        for name, function in functions.items():
            start = time.perf_counter()
            # One number: a GPU's gradient would take longer to copy than to compute.
            tf.nest.map_structure(lambda tensor: float(tf.reshape(tensor, [-1])[0]), function())
            if run >= 0:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
