"""Runs from the shell on a GPU: their seconds by size, or their memory against the estimate.

python benchmarks/gpu_runs.py {pictures,memory}

pictures runs with --device CPU:0, too.
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
CONTENT, STYLE = ROOT / "examples" / "coffee.jpg", ROOT / "examples" / "style.jpg"
SIZES = (512, 1024, 2048, 4096)
# One run in a process of its own: what the allocator held at most, and what was estimated.
MEASURE = """
import json, sys
import tensorflow as tf
from tf_style import Settings, StyleTransfer
from tf_style.transfer import memory
from tf_style.transfer.prepare import prepare

content, style, size, device = sys.argv[1:]
settings = Settings(size=int(size), iterations=20, device=device)
inputs = prepare(content, [style], settings)
transfer = StyleTransfer(inputs)
transfer.run()
peak = tf.config.experimental.get_memory_info(device)["peak"]
where = {"tile_px": transfer.tile_px, "device": transfer.device}
estimated = memory.estimate(inputs, transfer.precision, **where)
print(json.dumps([peak, estimated - memory.BASE_BYTES]))
"""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=("pictures", "memory"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="the longer side in pixels")
    parser.add_argument("--device", default="GPU:0")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    table = {"pictures": pictures, "memory": memory}[arguments.table]
    lines = table(arguments.sizes, arguments.device)
    results.report(f"{arguments.table} on {arguments.device}", lines, write=arguments.write)


def pictures(sizes: list[int], device: str) -> list[str]:
    """Seconds of the first and of a second run, from the shell; the start is in both."""
    lines = [
        "| longer side | seconds | again | of which the iterations | ms an evaluation at full size |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder)
        for size in sizes:
            seconds = []
            for run in range(2):
                picture, trace = output / f"{size}-{run}.png", output / f"{size}-{run}.json"
                start = time.perf_counter()
                command = [sys.executable, ROOT / "bin" / "stylize", "--device", device]
                command += ["--content", CONTENT, "--style", STYLE, "--size", str(size)]
                subprocess.run([*command, "--output", picture, "--trace", trace], check=True)
                seconds.append(time.perf_counter() - start)
            evaluations = json.loads(trace.read_text())["evaluations"]
            times = [each["seconds"] for each in evaluations]
            of_last = [e["seconds"] for e in evaluations if e["level"] == evaluations[-1]["level"]]
            each_ms = 1e3 * (of_last[-1] - of_last[0]) / (len(of_last) - 1)
            lines.append(
                f"| {size} | {seconds[0]:.1f} | {seconds[1]:.1f} | {times[-1] - times[0]:.1f} "
                f"| {each_ms:.2f} |"
            )
            print(lines[-1], flush=True)
    return lines


def memory(sizes: list[int], device: str) -> list[str]:
    """What TensorFlow's allocator held at most, against the estimate."""
    lines = ["| longer side | GiB at most | estimated | estimate over measured |", "|---|---|---|---|"]
    for size in sizes:
        command = [sys.executable, "-c", MEASURE, CONTENT, STYLE, str(size), device]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        peak, estimated = json.loads(done.stdout.splitlines()[-1])
        row = f"| {size} | {peak / 2**30:.2f} | {estimated / 2**30:.2f} | {estimated / peak:.2f} |"
        lines.append(row)
        print(row, flush=True)
    return lines


if __name__ == "__main__":
    main()
