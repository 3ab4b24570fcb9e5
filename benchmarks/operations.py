"""Where the time of an iteration goes, by TensorFlow's profiler: kinds of operations, in milliseconds.

python benchmarks/operations.py
"""

import argparse
import collections
import pathlib
import tempfile

import results
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from tf_style import PRESETS, Features, Lbfgs, Objective, Settings
from tf_style.network import weights
from tf_style.network.architecture import layers_up_to
from tf_style.optimize.preconditioner import fourier_preconditioner

PRESET = PRESETS["gatys2016"]
ITERATIONS = 4
# A kind, and words of which one is in an operation's type; the first kind that fits counts.
KINDS = {
    "convolutions": ("Conv",),
    "Gram matrices": ("Gram", "BatchMatMul"),
    "pooling": ("Pool",),
    "ReLU and bias": ("Relu", "BiasAdd"),
    "L-BFGS's history": ("MultiDot", "MultiAxpy"),
    "Fourier transforms": ("FFT",),
    "sums": ("AddN", "AddV2", "Sub", "Mul", "MatMul", "Sum", "Max", "Abs", "Square", "Einsum"),
    "copies and casts": ("Cast", "Transpose", "Pad", "Slice", "Concat", "Pack", "Assign", "Reverse"),
}
SETTINGS = Settings()
VARIANTS = {
    "before: stock operations, H0 = 1": ("stock", False),
    "after: operations of our own, H0 by frequency": ("auto", True),
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=384)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    columns = {name: profile(arguments, *how) for name, how in VARIANTS.items()}
    kinds = [*KINDS, "the rest"]
    lines = [
        f"{results.machine()}. An iteration at {arguments.width}x{arguments.height} in "
        f"{arguments.precision}, milliseconds of operations on all threads together.",
        "",
        f"| kind | {' | '.join(columns)} |",
        f"|{'---|' * (1 + len(columns))}",
    ]
    for kind in kinds:
        lines.append(f"| {kind} | " + " | ".join(f"{c[kind]:.1f}" for c in columns.values()) + " |")
    lines.append(
        "| sum | "
        + " | ".join(f"{sum(c[kind] for kind in kinds):.1f}" for c in columns.values())
        + " |"
    )
    for name, column in columns.items():
        if column["launches"]:
            lines += [
                "",
                f"{name}: {column['launches']:.0f} launches, the GPU busy {column['busy']:.2f} ms",
            ]
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        results.replace_section("operations", text)


def profile(arguments: argparse.Namespace, kernel: str, by_frequency: bool) -> collections.Counter:
    """Milliseconds an iteration by kind."""
    arrays = weights.load("embedded", layers_up_to(PRESET.layers), normalize_for=PRESET.pooling)
    features = Features(PRESET, arrays, precision=arguments.precision, kernel=kernel)
    shape = [1, arguments.height, arguments.width, 3]
    start = tf.random.stateless_uniform(shape, [0, 0], maxval=255.0)
    style = tf.random.stateless_uniform(shape, [0, 1], maxval=255.0)
    objective = Objective(features, PRESET, content=start, styles=[style], kernel=kernel)

    def evaluate(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parts, gradient = objective.parts_and_gradient(image)
        return tf.reduce_sum(parts), gradient

    initial = fourier_preconditioner() if by_frequency else tf.identity
    minimizer = Lbfgs(
        evaluate,
        tf.Variable(start),
        history=SETTINGS.num_pairs,
        initial_inverse_hessian=initial,
        pair_dtype=tf.dtypes.as_dtype(SETTINGS.pair_precision),
    )
    minimizer.run(12)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            minimizer.run(ITERATIONS)
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    return by_kind(space)


def by_kind(space: xplane_pb2.XSpace) -> collections.Counter:
    """Sums the profiler's events of operations, which it names `node:Type`."""
    milliseconds: collections.Counter = collections.Counter(dict.fromkeys([*KINDS, "the rest"], 0.0))
    for plane in space.planes:
        if "/device:GPU" in plane.name:  # Kernels, by names of their own.
            streams = (line for line in plane.lines if line.name.startswith("Stream"))
            events = [event for line in streams for event in line.events]
            milliseconds["launches"] += len(events) / ITERATIONS
            milliseconds["busy"] += sum(event.duration_ps for event in events) * 1e-9 / ITERATIONS
            continue
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                node, _, kind = name.rpartition(":")
                # Calls of functions hold other operations, which have events of their own.
                if not node or "::" in name or kind.endswith(("Call", "While", "If")):
                    continue
                if kind.strip().startswith("__"):
                    continue
                found = (k for k, words in KINDS.items() if any(word in kind for word in words))
                milliseconds[next(found, "the rest")] += event.duration_ps * 1e-9 / ITERATIONS
    return milliseconds


if __name__ == "__main__":
    main()
