"""The minimisers on real transfers, like with like: the loss after a number of evaluations.

python benchmarks/optimizers.py --content photo.jpg --style painting.jpg [--style ...]

All start from the same picture and minimise the same function, at one size and in float32, and both
L-BFGS keep the same number of pairs.
"""

import argparse
import pathlib

import numpy as np
import results
import tensorflow as tf

from tf_style import EvaluationLog, Settings, StyleTransfer, prepare
from tf_style.objective.objective import PARTS
from tf_style.optimize import make_minimizer
from tf_style.optimize.lbfgs import Lbfgs
from tf_style.optimize.minimizer import Minimizer
from tf_style.optimize.status import Status
from tf_style.optimize.tfp_lbfgs import TfpLbfgs

ROWS = ("lbfgs", "lbfgs, not preconditioned", "tfp", "tfp, not preconditioned", "adam")


def main() -> None:
    """Runs each minimiser on each style and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--content", default="examples/coffee.jpg")
    parser.add_argument("--style", action="append")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--history", type=int, default=10)
    parser.add_argument("--evaluations", type=int, nargs="+", default=[60, 120, 180])
    parser.add_argument("--write", action="store_true", help="update benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    budgets = sorted(arguments.evaluations)
    lines = [
        f"{pathlib.Path(arguments.content).name}, {arguments.size} px, float32, from the content, "
        f"{arguments.history} pairs: the lowest loss after a number of evaluations, that of the start "
        "among them.",
        "",
        "| style | optimizer | iterations | evaluations / iteration | "
        + " | ".join(f"loss after {budget}" for budget in budgets)
        + " |",
        "|---" * (4 + len(budgets)) + "|",
    ]
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for style in arguments.style or ["examples/style.jpg"]:
        settings = Settings(size=arguments.size, precision="float32", levels=1)
        transfer = StyleTransfer(prepare(arguments.content, [style], settings))
        start = transfer.image.read_value()
        for row in ROWS:
            log = EvaluationLog(transfer.objective.parts_and_gradient, len(PARTS))
            minimizer = make(row, log, tf.Variable(start), arguments.history)
            losses = run(minimizer, log, budgets[-1])
            lowest = [f"{min(losses[:budget]):.4g}" for budget in budgets]
            lines.append(
                f"| {pathlib.Path(style).name} | {row} | {minimizer.iterations} "
                f"| {len(losses) / minimizer.iterations:.2f} | {' | '.join(lowest)} |"
            )
    results.report("optimizers", lines, write=arguments.write)


def make(row: str, evaluate: EvaluationLog, position: tf.Variable, history: int) -> Minimizer:
    """The minimiser of a row of the table."""
    name, _, is_plain = row.partition(", ")
    if is_plain:
        return {"lbfgs": Lbfgs, "tfp": TfpLbfgs}[name](evaluate, position, history=history)
    return make_minimizer(name, evaluate, position, history=history)


def run(minimizer: Minimizer, log: EvaluationLog, budget: int) -> list[float]:
    """The loss at each evaluation, until so many are made or the minimisation ends."""
    losses: list[float] = []
    while len(losses) < budget and minimizer.status == Status.RUNNING:
        minimizer.run(1)
        losses += np.sum(log.take()[:, 1:], axis=1).tolist()
    return losses


if __name__ == "__main__":
    main()
