"""An evaluation by tiles on more and more Ray workers of one core: seconds, and that the bits agree.

python benchmarks/scaling.py --content photo.jpg --style painting.jpg
"""

import argparse
import os
import pathlib
import statistics
import time

import numpy as np
import results

from tf_style import Settings, prepare
from tf_style.objective import ray_pool

WARM_UPS = 5
RUNS = 5
ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--content", default=str(ROOT / "examples" / "coffee.jpg"))
    parser.add_argument("--style", default=str(ROOT / "examples" / "style.jpg"))
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="at most")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    import ray
    from ray.cluster_utils import Cluster

    settings = Settings(size=arguments.size, levels=1, iterations=1)
    inputs = prepare(arguments.content, [arguments.style], settings)
    head = {"num_cpus": 0, "include_dashboard": False}
    lines = [
        f"{results.machine()}. {inputs.width} x {inputs.height} pixels in {arguments.precision}, tiles "
        f"of {arguments.tile} pixels; median of {RUNS}.",
        "",
        "| workers of one core | seconds an evaluation | of this process's CPU | times as fast as one "
        "| the same bits |",
        "|---|---|---|---|---|",
    ]
    first = None
    for count in range(1, arguments.workers + 1):
        nodes = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(count):
            nodes.add_node(num_cpus=1)
        ray_pool.connect(nodes.address)
        pool = ray_pool.RayPool(inputs.preset, inputs.weights, arguments.precision)
        seconds, own, found = evaluate(inputs, arguments.tile, pool)
        ray.shutdown()
        nodes.shutdown()
        first = first or (seconds, found)
        same = all(np.array_equal(a, b) for a, b in zip(found, first[1], strict=True))
        lines.append(f"| {count} | {seconds:.2f} | {own:.2f} | {first[0] / seconds:.2f} | {same} |")
        print(lines[-1], flush=True)
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        results.replace_section("scaling", text)


def evaluate(inputs, tile_px: int, pool: ray_pool.RayPool) -> tuple[float, float, list[np.ndarray]]:
    """The median time of an evaluation, this process's part of it, and its parts and gradient."""
    import tensorflow as tf

    from tf_style import Features, TiledObjective

    (level,) = inputs.levels
    objective = TiledObjective(
        Features(inputs.preset, inputs.weights),
        inputs.preset,
        content=level.content[np.newaxis],
        styles=[style[np.newaxis] for style in level.styles],
        height=inputs.height,
        width=inputs.width,
        tile_px=tile_px,
        pool=pool,
    )
    image = tf.constant(level.content[np.newaxis])
    # A worker that has just joined imports TensorFlow and traces its graphs.
    for _ in range(WARM_UPS):
        objective.parts_and_gradient(image)
    times, own = [], []
    for _ in range(RUNS):
        start, start_own = time.perf_counter(), time.process_time()
        found = [each.numpy() for each in objective.parts_and_gradient(image)]
        times.append(time.perf_counter() - start)
        own.append(time.process_time() - start_own)
    return statistics.median(times), statistics.median(own), found


if __name__ == "__main__":
    main()
