"""What an iteration launches on a GPU, read from the graphs that are traced for one; it needs none.

python benchmarks/launches.py

The graphs are made as within `tf.device("/GPU:0")` where the compiled operations run on it, and
without them, less what nothing depends on, before TensorFlow simplifies them. An operation counts as
what it launches: none where it only names memory or where its numbers are the host's (shapes,
counters), this package's own as often as their source says, all others once.
"""

import argparse
import collections
import contextlib
from collections.abc import Iterator, Mapping
from unittest import mock

import results
import tensorflow as tf

from tf_style import PRESETS, Features, Lbfgs, Objective, Settings
from tf_style.network import weights
from tf_style.network.architecture import layers_up_to
from tf_style.objective.objective import PARTS
from tf_style.ops import library
from tf_style.optimize.preconditioner import fourier_preconditioner
from tf_style.transfer.evaluation_log import EvaluationLog

SIZE = (1, 48, 64, 3)
# What only names memory, moves pointers or reads a clock.
FREE = {
    "AssignAddVariableOp",
    "AssignVariableOp",
    "Bitcast",
    "BroadcastGradientArgs",
    "Const",
    "EnsureShape",
    "ExpandDims",
    "Identity",
    "IdentityN",
    "NoOp",
    "Placeholder",
    "PreventGradient",
    "Rank",
    "ReadVariableOp",
    "Reshape",
    "Shape",
    "ShapeN",
    "Squeeze",
    "StopGradient",
    "Timestamp",
    "VarHandleOp",
    "VariableShape",
}
# kernels/*_gpu.cu: products, slabs, derivative, loss and the gradient's product, and so on.
OWN = {
    "TfStyle>Gram": 3,
    "TfStyle>GramLoss": 5,
    "TfStyle>GramGradient": 2,
    "TfStyle>MultiDot": 2,
    "TfStyle>MultiAxpy": 1,
}
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
CONDITIONS = ("If", "StatelessIf")
WAIT = "waits"
HOST_TYPES = (tf.int32, tf.int64)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=["painterly", "gatys2016"])
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    tf.config.experimental.enable_tensor_float_32_execution(False)  # As in the program.
    lines = [
        "Launches of an iteration on a GPU in bfloat16, counted in graphs that were traced as for one,",
        "before TensorFlow simplifies them; not run. Waits are conditions in an iteration: one, the",
        "log's, is the host's own, and the loop waits once more for its counters, which are the",
        "host's and follow from the device's.",
        "",
        "| preset | operations | evaluation | L-BFGS | waits |",
        "|---|---|---|---|---|",
    ]
    for name in arguments.presets:
        for is_ours, label in ((False, "TensorFlow's"), (True, "ours")):
            evaluation, update = count(name, is_ours)
            lines.append(
                f"| {name} | {label} | {evaluation.total()} "
                f"| {update.total() - update[WAIT]} | {update[WAIT]} |"
            )
            for what, counter in (("evaluation", evaluation), ("L-BFGS", update)):
                print(f"{name}, {label}, {what}: {counter.most_common(12)}")
    results.report("launches", lines, write=arguments.write)


def count(name: str, is_ours: bool) -> tuple[collections.Counter, collections.Counter]:
    """Launches by type of operation of an evaluation and of the update around it."""
    preset, settings = PRESETS[name], Settings()
    with as_on_gpu(is_ours):
        arrays = weights.load("embedded", layers_up_to(preset.layers), normalize_for=preset.pooling)
        features = Features(preset, arrays, precision="bfloat16")
        image = tf.random.stateless_uniform(SIZE, [0, 0], maxval=255.0)
        objective = Objective(features, preset, content=image, styles=[image])

        minimizer = Lbfgs(
            EvaluationLog(objective.parts_and_gradient, len(PARTS)),
            tf.Variable(image),
            history=settings.num_pairs,
            initial_inverse_hessian=fourier_preconditioner(),
            pair_dtype=tf.dtypes.as_dtype(settings.pair_precision),
        )
        traced = minimizer._take_unit_steps.get_concrete_function(tf.constant(1))
    definition = traced.graph.as_graph_def()
    functions = {each.signature.name: each for each in definition.library.function}
    (loop,) = (node for node in definition.node if node.op in ("While", "StatelessWhile"))
    body = functions[loop.attr["body"].func.name]
    (call,) = (node for node in body.node_def if node.op in CALLS)
    evaluation = launches(call.attr["f"].func.name, functions)
    everything = launches(body.signature.name, functions)
    return evaluation, everything - evaluation


def launches(function: str, functions: Mapping) -> collections.Counter:
    """Those of a function and of what it calls; of a condition, of its usual branch."""
    counter: collections.Counter = collections.Counter()
    for node in needed(functions[function]):
        if node.op in CALLS:
            counter += launches(node.attr["f"].func.name, functions)
        elif node.op in CONDITIONS:
            counter[WAIT] += 1
            counter += launches(node.attr["then_branch"].func.name, functions)
        elif node.op not in FREE and not is_on_host(node):
            counter[node.op] += OWN.get(node.op, 1)
    return counter


def needed(function: tf.compat.v1.GraphDef) -> Iterator[tf.compat.v1.NodeDef]:
    """The nodes of a FunctionDef on which its results or effects depend."""
    nodes = {node.name: node for node in function.node_def}
    waiting = [*function.ret.values(), *function.control_ret.values()]
    seen = set()
    while waiting:
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if name in nodes and name not in seen:
            seen.add(name)
            waiting += nodes[name].input
            yield nodes[name]


def is_on_host(node: tf.compat.v1.NodeDef) -> bool:
    """Whether a node's numbers are shapes or counters, which TensorFlow keeps on the host."""
    types = [node.attr[name].type for name in ("T", "SrcT", "dtype", "out_type") if name in node.attr]
    return bool(types) and tf.dtypes.as_dtype(types[0]) in HOST_TYPES


@contextlib.contextmanager
def as_on_gpu(is_ours: bool) -> Iterator[None]:
    """Makes graphs as for a GPU, on which the compiled operations run or do not."""
    problem = "" if is_ours else "left out"
    with (
        mock.patch.object(library, "_device_scope", return_value="/GPU:0"),
        mock.patch.object(library, "_problem_of_gpu", return_value=problem),
    ):
        yield


if __name__ == "__main__":
    main()
