"""How soon other tools' losses are reached, with a student's picture to start from and without."""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import peers
import vs_peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = (50, 100, 500)
TOY_STEPS = (2, 4, 8)


def report(
    style: pathlib.Path,
    student_of: Callable[[str], pathlib.Path],
    folder: pathlib.Path,
    arguments: argparse.Namespace,
) -> list[str]:
    """A table of seconds and evaluations to the peers' losses after some of their steps.

    Args:
      style: The painting.
      student_of: The folder of the student of an objective, by the preset's name.
      folder: Where peers' environments, traces and pictures go.
      arguments: Of `student.py`.
    """
    place = folder / "head-start"
    place.mkdir(exist_ok=True)
    content = ROOT / "examples" / "coffee.jpg"
    peers.make_pictures(content, style, arguments.size, place)
    steps = TOY_STEPS if arguments.toy else STEPS
    lines = [
        f"{content.name} in {style.name}, {arguments.size} px. The student's training, on the same "
        "preset, is not counted.",
        "",
        "| peer | its steps | its seconds | from the content: evaluations | seconds "
        "| from the student: evaluations | seconds | times fewer | times sooner than the peer |",
        f"|{'---|' * 9}",
    ]
    for peer in peers.PEERS:
        if peer.name not in arguments.peers:
            continue
        given = argparse.Namespace(**{**vars(arguments), "steps": steps[-1]})
        theirs = vs_peers.run_peer(peer, given, place)
        student = str(student_of(peer.preset))
        ours = {
            "content": run(peer, ("--init", "content"), place, arguments),
            "student": run(peer, ("--init", "student", "--student", student), place, arguments),
        }
        for count in steps:
            index = min(count, len(theirs["losses"])) - 1
            target, theirs_seconds = theirs["losses"][index], theirs["seconds"][index]
            evaluations, seconds = reached(ours["content"], target)
            ahead, sooner = reached(ours["student"], target)
            lines.append(
                f"| {peer.name} | {count} | {theirs_seconds:.0f} | {evaluations:g} | {seconds:.1f} "
                f"| {ahead:g} | {sooner:.1f} | {_times(evaluations, ahead)} "
                f"| {_times(theirs_seconds, sooner)} |"
            )
    return lines


def run(
    peer: peers.Peer, start: tuple[str, ...], place: pathlib.Path, arguments: argparse.Namespace
) -> list[tuple[float, float]]:
    """Seconds from the shell and the loss, of each evaluation."""
    name = f"{peer.name}-from-{start[1]}"
    command = [
        sys.executable,
        str(ROOT / "bin" / "stylize"),
        "--quiet",
        "--preset",
        peer.preset,
        *start,
    ]
    command += ["--content", str(place / "content.png"), "--style", str(place / "style.png")]
    iterations = 10 if arguments.toy else vs_peers.ITERATIONS[peer.name]
    command += ["--size", str(arguments.size), "--levels", "1", "--iterations", str(iterations)]
    command += ["--output", str(place / f"{name}.png"), "--trace", str(place / f"{name}.json")]
    began = time.time()
    subprocess.run(command, check=True)
    trace = json.loads((place / f"{name}.json").read_text())
    return [(trace["started"] + each["seconds"] - began, each["loss"]) for each in trace["evaluations"]]


def reached(evaluations: list[tuple[float, float]], target: float) -> tuple[float, float]:
    """How many evaluations and seconds it took to a loss; infinitely many where it was not reached."""
    for index, (seconds, loss) in enumerate(evaluations):
        if loss <= target:
            return index + 1, seconds
    return math.inf, math.inf


def _times(theirs: float, ours: float) -> str:
    """How often one is in the other; nothing where ours was never reached."""
    return f"{theirs / ours:.1f}" if math.isfinite(ours) else ""
