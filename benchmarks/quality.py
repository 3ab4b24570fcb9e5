"""Pictures of this package and of other tools, pair by pair: one table, and a page for a blind look.

python benchmarks/quality.py --output FOLDER --size 256 --images MORE_PICTURES --peer-folder CHECKOUT

Finished pictures stay in FOLDER/PAIR/TOOL.png, with their seconds in a JSON file beside, and are not
made again: delete one to have it made again. All that lie there are scored, and `--score-only` does no
more than that. FOLDER/blind has the page, FOLDER/blind-key.json tells whose picture is whose.
"""

import argparse
import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence

import blind
import numpy as np
import peers
import quality_metrics
import quality_pairs
import quality_table
import results
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORIGINALS = ("content", "style")


@dataclasses.dataclass(frozen=True)
class Ours:
    """A run of this package.

    Attributes:
      label: The picture's name.
      flags: Of `stylize`, beside the files and the size.
    """

    label: str
    flags: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Ours":
        """From "label: flags", the flags perhaps none."""
        label, _, flags = text.partition(":")
        label = label.strip()
        if not label or "/" in label or label in ORIGINALS or label in {p.name for p in peers.PEERS}:
            raise argparse.ArgumentTypeError(
                f"expected 'label: flags', the label a file's name of its own. Received: {text!r}"
            )
        return cls(label, tuple(shlex.split(flags)))


def main() -> None:
    """Makes what is missing, then scores all."""
    arguments = parse(sys.argv[1:])
    folder = arguments.output.resolve()
    if not arguments.score_only:
        for name, content, style in quality_pairs.pairs(
            arguments.manifest, arguments.images, arguments.pairs
        ):
            make(folder / name, content, style, arguments)
    scores = score(folder, arguments.pairs, with_network=not arguments.no_network)
    if not scores:
        sys.exit(
            f"Expected finished pictures in {folder}/PAIR. Received: none; run without --score-only"
        )
    names = [peer.name for peer in peers.PEERS]
    sizes = sorted({max(read(folder / pair / "content.png").shape) for pair in scores})
    size = " and ".join(map(str, sizes))
    blocks = (
        f"{results.machine()}. Longer side {size} px.",
        quality_table.LEGEND,
        quality_table.table(scores),
        quality_table.against_peers(scores, names),
        quality_table.spreads(scores, names),
    )
    text = "\n\n".join(block for block in blocks if block)
    print(text)
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    (folder / "table.md").write_text(text + "\n")
    shown = {
        pair: ([folder / pair / f"{name}.png" for name in ORIGINALS], finished(folder / pair))
        for pair in scores
    }
    blind.write(shown, folder / "blind", folder / "blind-key.json", arguments.seed)
    if arguments.write:
        results.replace_section(arguments.section or f"quality at {size} px", text)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for all of it")
    parser.add_argument("--size", type=int, default=256, help="the longer side in pixels")
    parser.add_argument("--manifest", type=pathlib.Path, help="pairs as JSON: {name: [content, style]}")
    parser.add_argument(
        "--images", type=pathlib.Path, action="append", default=[], help="more pictures"
    )
    parser.add_argument("--pairs", nargs="+", help="only these")
    parser.add_argument(
        "--ours",
        type=Ours.parse,
        action="append",
        help="repeatable, 'label: flags of stylize' (default: 'ours:')",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=[peer.name for peer in peers.PEERS],
        help="only these, or none (default: all; style-transfer-pytorch with --peer-folder)",
    )
    parser.add_argument(
        "--peer-steps",
        nargs=2,
        type=int,
        default=(250, 120),
        metavar=("FIRST", "LATER"),
        help="style-transfer-pytorch's at 128 px and at each size above",
    )
    parser.add_argument("--environments", type=pathlib.Path, help="the peers' (default: OUTPUT)")
    peers.add_peer_flags(parser)
    parser.add_argument("--score-only", action="store_true", help="the pictures that are there")
    parser.add_argument(
        "--no-network", action="store_true", help="without distances by VGG-19's layers"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the blind page's order")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    parser.add_argument("--section", help="its title (default: with the size)")
    parsed = parser.parse_args(arguments)
    if parsed.peers is None:
        parsed.peers = [p.name for p in peers.PEERS if parsed.peer_folder or not p.from_checkout]
    elif peers.STYLE_TRANSFER_PYTORCH.name in parsed.peers and not parsed.peer_folder:
        parser.error(f"{peers.STYLE_TRANSFER_PYTORCH.name} needs --peer-folder")
    parsed.ours = parsed.ours or [Ours("ours", ())]
    return parsed


def make(
    folder: pathlib.Path, content: pathlib.Path, style: pathlib.Path, arguments: argparse.Namespace
) -> None:
    """All pictures of a pair that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    peers.make_pictures(content, style, arguments.size, folder)
    for ours in arguments.ours:
        record = folder / f"{ours.label}.json"
        command = [
            sys.executable,
            str(ROOT / "bin" / "stylize"),
            "--quiet",
            "--size",
            str(arguments.size),
        ]
        command += ["--content", str(folder / "content.png")]
        if "--student" not in ours.flags or "student" in ours.flags:  # It has a style of its own.
            command += ["--style", str(folder / "style.png")]
        command += ["--output", str(record.with_suffix(".png")), *ours.flags]
        if not is_finished(record, arguments.size, ours.flags):
            start = time.time()
            subprocess.run(command, check=True)
            keep(record, time.time() - start, arguments.size, ours.flags)
    environments = (arguments.environments or arguments.output).resolve()
    for peer in peers.PEERS:
        if peer.name not in arguments.peers:
            continue
        record = folder / f"{peer.name}.json"
        job = peers.Job(
            environments=environments,
            content=folder / "content.png",
            style=folder / "style.png",
            output=record.with_suffix(".png"),
            device=arguments.device,
            checkout=arguments.peer_folder,
            options=options(peer, arguments.peer_steps),
        )
        if not is_finished(record, arguments.size, job.options):
            keep(record, peers.run(peer, job).total, arguments.size, job.options)


def options(peer: peers.Peer, steps: Sequence[int]) -> tuple[str, ...]:
    """Their defaults, but for a random seed and for the steps of the one whose take an hour."""
    if peer is peers.NEURAL_STYLE:
        return ("-seed", "0", "-save_iter", "0")
    if peer is peers.STYLE_TRANSFER_PYTORCH:
        return ("--initial-iterations", str(steps[0]), "--iterations", str(steps[1]))
    return ()


def is_finished(record: pathlib.Path, size_px: int, flags: Sequence[str]) -> bool:
    """Whether the picture beside the record is there; exits if it was made otherwise."""
    if not (record.exists() and record.with_suffix(".png").exists()):
        return False
    made = json.loads(record.read_text())
    if (made["size"], made["flags"]) != (size_px, list(flags)):
        sys.exit(
            f"{record} is of size {made['size']} with {made['flags']}. Received: {size_px} with "
            f"{list(flags)}; delete it, or name another label or another --output"
        )
    return True


def keep(record: pathlib.Path, seconds: float, size_px: int, flags: Sequence[str]) -> None:
    """Writes down how the picture beside the record came about."""
    found = {
        "seconds": seconds,
        "size": size_px,
        "flags": list(flags),
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "machine": results.machine(),
    }
    record.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{record.parent.name}/{record.stem}: {seconds:.0f} s", file=sys.stderr)


def finished(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """A pair's pictures by tool, ours first."""
    found = {path.stem: path for path in sorted(folder.glob("*.png")) if path.stem not in ORIGINALS}
    names = [peer.name for peer in peers.PEERS]
    return dict(sorted(found.items(), key=lambda item: (item[0] in names, item[0])))


def score(
    folder: pathlib.Path, only: Sequence[str] | None, *, with_network: bool
) -> dict[str, dict[str, dict[str, float]]]:
    """All figures by pair and picture, the photograph and the painting themselves among them."""
    scorer = None
    if with_network:
        from quality_features import StyleScorer

        scorer = StyleScorer()
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for pair in sorted(path.parent for path in folder.glob("*/content.png")):
        pictures = finished(pair)
        if not pictures or (only and pair.name not in only):
            continue
        photograph, painting = (read(pair / f"{name}.png") for name in ORIGINALS)
        target = scorer.activations(painting) if scorer else None
        originals = {name: pair / f"{name}.png" for name in ORIGINALS}
        names = dict(zip(ORIGINALS, (quality_table.PHOTOGRAPH, quality_table.PAINTING), strict=True))
        scores[pair.name] = {}
        for tool, path in {**originals, **pictures}.items():
            picture = read(path)
            figures = dict(quality_metrics.scores(picture, photograph, painting))
            if scorer:
                figures.update(scorer.scores(picture, target))
            record = path.with_suffix(".json")
            if record.exists():
                figures["seconds"] = json.loads(record.read_text())["seconds"]
            scores[pair.name][names.get(tool, tool)] = figures
    return scores


def read(path: pathlib.Path) -> np.ndarray:
    """[height, width, 3], RGB, 0..255."""
    return np.asarray(Image.open(path).convert("RGB"))


if __name__ == "__main__":
    main()
