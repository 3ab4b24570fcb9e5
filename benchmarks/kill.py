"""Runs killed with SIGKILL at random moments and resumed until they end: the bits must be the same.

python benchmarks/kill.py --runs 40
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import results
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUEST = [
    *("--content", str(ROOT / "examples" / "chelsea.jpg")),
    *("--style", str(ROOT / "examples" / "style.jpg")),
    *("--size", "96", "--levels", "2", "--iterations", "120", "--quiet"),
]


def main() -> None:
    """Prints how many runs ended with the bits of the straight one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    moments = random.Random(0)
    same = kills = incomplete = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        start = time.monotonic()
        run(folder, *REQUEST, "--output", "straight.png")
        seconds = time.monotonic() - start
        straight = np.asarray(Image.open(folder / "straight.png"))
        for index in range(arguments.runs):
            place = folder / str(index)
            place.mkdir()
            command = [*REQUEST, "--output", "out.png", "--checkpoint", "run"]
            command += ["--checkpoint-every", "0"]
            while True:
                process = popen(place, *command)
                try:
                    process.wait(moments.uniform(0, 1.2 * seconds))
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
                code = process.wait()
                output = place / "out.png"
                if output.exists():
                    try:
                        Image.open(output).load()
                    except OSError:
                        incomplete += 1
                if code == 0:
                    break
                if any((place / "run").glob("*.json")):
                    command = ["--resume", "run", "--quiet"]
            same += np.array_equal(np.asarray(Image.open(place / "out.png")), straight)
            print(f"{index + 1} runs, {kills} kills, {same} the same, {incomplete} cut", flush=True)
    text = (
        f"{results.machine()}.\n\n{arguments.runs} runs of {seconds:.0f} s, killed {kills} times with "
        f"SIGKILL at random moments and resumed: {same} ended with the bits of the straight run; an "
        f"output was found incomplete {incomplete} times."
    )
    print(text)
    if arguments.write:
        results.replace_section("kill", text)
    sys.exit(same != arguments.runs or incomplete > 0)


def popen(folder: pathlib.Path, *arguments: str) -> subprocess.Popen:
    """The program in a folder."""
    command = [sys.executable, str(ROOT / "bin" / "stylize"), *arguments]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)


def run(folder: pathlib.Path, *arguments: str) -> None:
    """The same, to its end."""
    if popen(folder, *arguments).wait():
        sys.exit("The straight run failed.")


if __name__ == "__main__":
    main()
