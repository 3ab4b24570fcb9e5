"""Loss against evaluations and against seconds: precision, levels, pairs and start, one at a time.

python benchmarks/convergence.py --content photo.jpg --style painting.jpg
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import results

ROOT = pathlib.Path(__file__).resolve().parent.parent
VARIANTS = {
    "default": [],
    "float32": ["--precision", "float32"],
    "two levels": ["--levels", "2"],
    "three levels": ["--levels", "3"],
    "m = 5": ["--history", "5"],
    "m = 10": ["--history", "10"],
    "m = 20": ["--history", "20"],
    "noise": ["--init", "noise"],
    "noise, two levels": ["--init", "noise", "--levels", "2"],
}
SHARES = (0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Runs each variant in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--content", default=str(ROOT / "examples" / "coffee.jpg"))
    parser.add_argument("--style", default=str(ROOT / "examples" / "style.jpg"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--output", help="keep the pictures and traces in this folder")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    lines = [
        f"{results.machine()}. {pathlib.Path(arguments.content).name} in "
        f"{pathlib.Path(arguments.style).name}, {arguments.size} px, {arguments.iterations} iterations "
        "in all, at each level half of those below. Seconds from the shell, and the lowest loss at the "
        "last level by then.",
        "",
        "| variant | evaluations | "
        + " | ".join(f"loss after {share:.0%} of the iterations (s)" for share in SHARES)
        + " | content part | style part |",
        f"|{'---|' * (len(SHARES) + 4)}",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, extra in VARIANTS.items():
            lines.append(run(name, extra, arguments, folder))
            print(lines[-1], flush=True)
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        results.replace_section("convergence", text)


def run(name: str, extra: list[str], arguments: argparse.Namespace, folder: pathlib.Path) -> str:
    """A line of the table."""
    stem = folder / name.replace(" ", "-").replace("=", "").replace(",", "")
    command = [sys.executable, str(ROOT / "bin" / "stylize"), "--quiet", *extra]
    command += ["--content", arguments.content, "--style", arguments.style]
    command += ["--size", str(arguments.size), "--iterations", str(arguments.iterations)]
    start = time.time()
    subprocess.run([*command, "--output", f"{stem}.png", "--trace", f"{stem}.json"], check=True)
    trace = json.loads(pathlib.Path(f"{stem}.json").read_text())
    evaluations = trace["evaluations"]
    last_level = evaluations[-1]["level"]
    cells = [name, str(len(evaluations))]
    for share in SHARES:
        known = evaluations[: round(share * len(evaluations))]
        seconds = trace["started"] + known[-1]["seconds"] - start
        losses = [e["loss"] for e in known if e["level"] == last_level]
        cells.append(f"{min(losses):.4g} ({seconds:.0f})" if losses else f"not yet ({seconds:.0f})")
    final = evaluations[trace["final_evaluation"]]
    cells += [f"{final['content']:.4g}", f"{final['style']:.4g}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
