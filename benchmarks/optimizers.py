"""Our L-BFGS against TensorFlow Probability's on a real transfer, by evaluations.

python benchmarks/optimizers.py --content photo.jpg --style painting.jpg [--style ...]
"""

import argparse
import pathlib

import numpy as np
import results

from tf_style import EvaluationLog, Settings, StyleTransfer, prepare
from tf_style.objective.objective import PARTS
from tf_style.optimize import make_minimizer

BUDGETS = {"lbfgs": 60, "tfp": 170}


def main() -> None:
    """Runs both optimisers on each style and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--content", default="examples/coffee.jpg")
    parser.add_argument("--style", action="append")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--write", action="store_true", help="update benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    lines = [
        f"{pathlib.Path(arguments.content).name}, {arguments.size} px, float32, from the content: the "
        "lowest loss after a number of evaluations.",
        "",
        "| style | optimiser | evaluations | iterations | evaluations / iteration | loss |",
        "|---|---|---|---|---|---|",
    ]
    for style in arguments.style or ["examples/style.jpg"]:
        settings = Settings(size=arguments.size, precision="float32", levels=1)
        transfer = StyleTransfer(prepare(arguments.content, [style], settings))
        start = transfer.image.read_value()
        for name, budget in BUDGETS.items():
            transfer.image.assign(start)
            losses, iterations = run(transfer, name, budget)
            lines.append(
                f"| {pathlib.Path(style).name} | {name} | {budget} | {iterations} "
                f"| {len(losses) / iterations:.2f} | {min(losses[:budget]):.4g} |"
            )
    text = "\n".join([f"{results.machine()}.", "", *lines])
    print(text)
    if arguments.write:
        results.replace_section("optimizers", text)


def run(transfer: StyleTransfer, name: str, budget: int) -> tuple[list[float], int]:
    """The loss at each evaluation, and the iterations that took them."""
    log = EvaluationLog(transfer.objective.parts_and_gradient, len(PARTS))
    minimizer = make_minimizer(name, log, transfer.image)
    losses: list[float] = []
    while len(losses) < budget:
        minimizer.run(1)
        losses += np.sum(log.take()[:, 1:], axis=1).tolist()
    return losses, minimizer.iterations


if __name__ == "__main__":
    main()
