"""The custom Gram ops against TensorFlow's autodiff: style loss and gradient at the five layers.

    python benchmarks/gram.py [--runs 15] [--write]

Prints a table; --write puts it into benchmarks/RESULTS.md. Calls of the contestants alternate, and
the medians are compared, so that a change of the machine's load meets all of them. Shares are of the
fastest large product that TensorFlow does here in the same dtype. The floating-point operations
counted are those of one product for the custom op's gradient and half of one for its loss, and of
three products for autodiff. Another table has the product that a gradient takes alone, as for tiles,
and mean and covariance with their gradient, each with either kernel; a last one, one evaluation of the
whole objective.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from unittest import mock

import results
import tensorflow as tf

from tf_style.network import weights
from tf_style.network.architecture import find_layer, layers_up_to
from tf_style.network.features import Features
from tf_style.objective.objective import Objective
from tf_style.objective.presets import PRESETS
from tf_style.ops.gram import gram_gradient, gram_loss, kernel_info
from tf_style.ops.moments import moments

LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
SIZES = ((512, 384), (1024, 768))
DTYPES = (tf.float32, tf.bfloat16)
ON_GPU = bool(tf.config.list_physical_devices("GPU"))
# One call takes microseconds there, and waiting for its result as long again.
CALLS = 50 if ON_GPU else 1


def autodiff_loss(features, target, scale, kernel=None):
    """The loss as one writes it without this package, in place of `gram_loss`."""
    flat = tf.reshape(features, [tf.shape(features)[0], -1, features.shape[-1]])
    gram = tf.cast(tf.matmul(flat, flat, transpose_a=True), tf.float32)
    return tf.reduce_sum(scale * tf.square(gram - target), [1, 2])


LOSSES = {"custom": functools.partial(gram_loss, kernel="custom"), "autodiff": autodiff_loss}


def loss_and_gradient(loss, features, target, scale):
    """The loss, and the gradient that TensorFlow's tape finds for it."""
    with tf.GradientTape() as tape:
        tape.watch(features)
        value = tf.reduce_sum(loss(features, target, scale))
    return value, tape.gradient(value, features)


def contestants() -> dict[str, Callable]:
    """What is timed, by the name of its column."""
    found = {
        name: tf.function(functools.partial(loss_and_gradient, loss)) for name, loss in LOSSES.items()
    }
    if ON_GPU:
        stock = functools.partial(gram_loss, kernel="stock")
        found["xla"] = tf.function(functools.partial(loss_and_gradient, stock), jit_compile=True)
    return found


def medians_ms(functions: dict[str, Callable], inputs: Sequence, runs: int) -> dict[str, float]:
    """The median milliseconds of one call of each, called in turn."""
    times = {name: [] for name in functions}
    for run in range(-2, runs):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                result = function(*inputs)
            result[0].numpy()
            if run >= 0:
                times[name].append((time.perf_counter() - start) * 1e3 / CALLS)
    return {name: statistics.median(values) for name, values in times.items()}


def gemm_peak(dtype: tf.DType, runs: int) -> float:
    """GFLOP/s of the fastest of TensorFlow's products of large square matrices."""
    best = 0.0
    for side in (1024, 2048, 4096):
        matrix = tf.cast(tf.random.uniform([side, side]), dtype)

        @tf.function
        def multiply(matrix):
            product = tf.matmul(matrix, matrix)
            return product[0, 0], product

        best = max(best, 2e-6 * side**3 / medians_ms({"": multiply}, [matrix], max(3, runs // 3))[""])
    return best


def copy_bandwidth(runs: int) -> float:
    """Bytes per millisecond of a large copy, read and written."""
    source = tf.random.uniform([64 << 20])
    copy = tf.function(lambda source: ((copied := source + 1.0)[0], copied))
    return 2 * 4 * (64 << 20) / medians_ms({"": copy}, [source], runs)[""]


def table(width: int, height: int, dtype: tf.DType, runs: int) -> str:
    """One table, as Markdown."""
    functions = contestants()
    peak = gemm_peak(dtype, runs)
    bandwidth = copy_bandwidth(runs) if ON_GPU else 0.0
    names = list(functions)
    columns = ["layer", "positions x channels", *(f"{name} ms" for name in names)]
    columns += ["autodiff / custom", *(f"{name} GFLOP/s (of peak)" for name in ("custom", "autodiff"))]
    if ON_GPU:
        columns.append("bytes / copy ms")
    lines = [
        f"### {width}x{height}, {dtype.name}: GEMM peak {peak:.0f} GFLOP/s",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
    ]
    sums = dict.fromkeys(names, 0.0)
    operations = moved = 0.0

    def row(label, shape, times, product, moved_bytes):
        cells = [label, shape, *(f"{times[name]:.3g}" for name in names)]
        cells.append(f"{times['autodiff'] / times['custom']:.2f}")
        for name, products in (("custom", 1.5), ("autodiff", 3.0)):
            rate = products * product / times[name]
            cells.append(f"{rate:.0f} ({100 * rate / peak:.0f} %)")
        if ON_GPU:
            cells.append(f"{moved_bytes / bandwidth:.3g}")
        lines.append(f"| {' | '.join(cells)} |")

    for layer in LAYERS:
        place = find_layer(layer)
        positions, channels = (width // place.stride) * (height // place.stride), place.channels
        features = tf.cast(tf.nn.relu(tf.random.normal([1, positions, channels])), dtype)
        inputs = (features, tf.zeros([1, channels, channels]), 1 / (positions * channels) ** 2)
        times = medians_ms(functions, inputs, runs)
        product = 2e-6 * positions * channels**2
        # Features read twice, gradient written once.
        moved_bytes = 3 * positions * channels * dtype.size
        row(layer, f"{positions} x {channels}", times, product, moved_bytes)
        sums = {name: sums[name] + times[name] for name in names}
        operations, moved = operations + product, moved + moved_bytes
    row("sum", "", sums, operations, moved)
    return "\n".join(lines)


def moments_and_gradient(features, matrix, kernel):
    """What a style of moments takes at a layer, but for the distance of the two distributions."""
    with tf.GradientTape() as tape:
        tape.watch(features)
        products, mean = moments(features, kernel=kernel)
        value = tf.reduce_sum(products * matrix) + tf.reduce_sum(mean)
    return value, tape.gradient(value, features)


def product_and_its_first(features, matrix, kernel):
    """The backward product, and one of its numbers to wait for."""
    product = gram_gradient(features, matrix, kernel=kernel)
    return product[0, 0, 0], product


def by_kernel(width: int, height: int, runs: int) -> str:
    """The table of the parts that moments and tiles take, by layer."""
    parts = {"product": product_and_its_first, "moments": moments_and_gradient}
    functions = {
        f"{part}, {kernel}": tf.function(functools.partial(function, kernel=kernel))
        for part, function in parts.items()
        for kernel in ("custom", "stock")
    }
    lines = [
        f"### The backward product, and moments with their gradient, {width}x{height}",
        "",
        f"| dtype | layer | {' | '.join(f'{name} ms' for name in functions)} |",
        f"|{'---|' * (2 + len(functions))}",
    ]
    for dtype in DTYPES:
        sums = dict.fromkeys(functions, 0.0)
        rows = {}
        for layer in LAYERS:
            place = find_layer(layer)
            shape = [1, height // place.stride, width // place.stride, place.channels]
            features = tf.cast(tf.nn.relu(tf.random.normal(shape)), dtype)
            matrix = tf.random.normal([1, place.channels, place.channels])
            rows[layer] = medians_ms(functions, [features, matrix], runs)
            sums = {name: sums[name] + rows[layer][name] for name in sums}
        for layer, times in (rows | {"sum": sums}).items():
            cells = " | ".join(f"{times[name]:.3g}" for name in functions)
            lines.append(f"| {dtype.name} | {layer} | {cells} |")
    return "\n".join(lines)


def evaluations(width: int, height: int, runs: int) -> str:
    """The table of whole evaluations: network, losses, gradient at the image."""
    preset = PRESETS["gatys2016"]
    arrays = weights.load("embedded", layers_up_to(preset.layers), normalize_for=preset.pooling)
    image = tf.random.uniform([1, height, width, 3], maxval=255.0)
    lines = [
        f"### One evaluation of the objective, {width}x{height}",
        "",
        "| dtype | custom ms | autodiff ms | saved ms |",
        "|---|---|---|---|",
    ]
    for dtype in DTYPES:
        features = Features(preset, arrays, precision=dtype.name)
        functions = {}
        for name, loss in LOSSES.items():
            objective = Objective(features, preset, content=image, styles=[image], kernel="custom")
            with mock.patch("tf_style.objective.gram_style.gram_loss", loss):
                objective.parts_and_gradient(image)  # Traced here, once and for all.
            functions[name] = objective.parts_and_gradient
        times = medians_ms(functions, [image], runs)
        saved = times["autodiff"] - times["custom"]
        lines.append(
            f"| {dtype.name} | {times['custom']:.0f} | {times['autodiff']:.0f} | {saved:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="calls of each contestant")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    # Where a GPU would round what is called float32.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    info = kernel_info()
    device = "GPU" if ON_GPU else f"CPU ({info.instruction_set})"
    text = [
        "Style loss of one layer and its gradient, medians of "
        f"{arguments.runs} interleaved runs, on the {device}.",
        f"TensorFlow {tf.__version__}. {results.machine()}.",
    ]
    for width, height in SIZES:
        for dtype in DTYPES:
            text.append(table(width, height, dtype, arguments.runs))
            print(text[-1], "\n", flush=True)
    for make in (by_kernel, evaluations):
        text.append(make(*SIZES[0], arguments.runs))
        print(text[-1], "\n", flush=True)
    print("\n".join(text[:2]))
    if arguments.write:
        results.replace_section("gram", "\n\n".join(text))


if __name__ == "__main__":
    main()
