"""Command lines of random flags, sound and not: a picture and code 0, or one line and code 2.

python benchmarks/random_flags.py --lines 200 --seed 0
"""

import argparse
import collections
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import results
from PIL import Image

LINES_OF_A_PROCESS = 20
# Runs command lines one after the other, each in a folder and with files as stdout and stderr.
SERVER = """
import importlib, json, os, sys, traceback

sys.path.insert(0, sys.argv[1])
answers = os.fdopen(os.dup(1), "w")
for text in sys.stdin:
    folder, (program, *flags), *files = json.loads(text)
    os.chdir(folder)
    for number, file in enumerate(files, start=1):
        descriptor = os.open(file, os.O_WRONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv[0] = program
    main = importlib.import_module("tf_style.commands." + program.replace("-", "_")).main
    try:
        code = main(flags)
    except SystemExit as end:
        code = end.code
    except Exception:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    os.chdir("/")
    print(code, file=answers, flush=True)
"""
ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = ("conv1_1", "relu2_1", "block3_conv1", "conv4_2", "conv5_1", "conv1_1,conv2_1", "conv9_9", "")
# Values of each flag, most of them sound; None is for a flag without a value.
FLAGS = {
    "--bit-depth": ("8", "16", "12"),
    "--checkpoint": ("run", "inputs", "old run", "inputs/photo.png", "../x/y"),
    "--checkpoint-every": ("0", "60", "-1", "nan"),
    "--coarse-style": ("inputs/photo.png", "inputs/out-00002.png", "inputs/none.png"),
    "--content-layers": LAYERS,
    "--content-mask": ("inputs/mask.png", "inputs/mask.png", "inputs/photo.png", "none.png"),
    "--content-weight": ("0", "1", "1e7", "-1", "inf"),
    "--deterministic": (None,),
    "--device": ("/CPU:0", "cpu", "/GPU:0", "toaster"),
    "--dry-run": (None,),
    "--fine-style": ("inputs/out-00002.png", "hard.png", "inputs/text.png"),
    "--flagfile": ("flags.txt", "none.txt"),
    "--force": (None,),
    "--from-trace": ("old.json", "none.json", "inputs/photo.png"),
    "--history": ("1", "5", "0", "1001"),
    "--init": ("content", "noise", "style", "inputs/photo.png", "inputs/none.png"),
    "--iterations": ("1", "2", "3", "0", "two"),
    "--json": (None,),
    "--keep-colors": ("luminance", "match", "histogram", "yuv"),
    "--levels": ("1", "2", "3", "17"),
    "--log_dir": ("logs", "none"),
    "--logtostderr": (None,),
    "--memory": ("2", "0.01", "0"),
    "--no-memory-check": (None,),
    "--no-normalize": (None,),
    "--normalize": (None,),
    "--optimizer": ("lbfgs", "adam", "tfp", "sgd"),
    "--padding": ("zero", "replicate", "mirror"),
    "--pair-precision": ("float32", "bfloat16"),
    "--pairs": ("2",),
    "--pooling": ("max", "average", "median"),
    "--precision": ("auto", "float32", "bfloat16", "float16"),
    "--preset": ("painterly", "gatys2016", "paper-literal", "jcjohnson", "tf-tutorial", "monet"),
    "--quiet": (None,),
    "--resume": ("old run", "none", "inputs"),
    "--save-every": ("1", "2", "0", "9"),
    "--seed": ("0", "7", "-1"),
    "--showprefixforinfo": (None,),
    "--size": ("48", "32", "20", "0", "48.5"),
    "--size-of": ("long", "short", "area", "width"),
    "--stderrthreshold": ("error", "loud"),
    "--strength": ("0", "0.3", "1", "2"),
    "--strength-mask": ("inputs/mask.png", "inputs/alpha.png", "none.png"),
    "--style-blend": ("1,2", "inputs/mask.png", "1", "0,0", "a"),
    "--style-fit": ("area", "stretch"),
    "--style-layer-weights": ("1", "1,1,1,1,1", "1,2", "nan"),
    "--style-layers": LAYERS,
    "--style-mask": ("none", "inputs/mask.png", "none.png"),
    "--style-scale": ("0.5", "1,1.5", "1.5", "0", "0.01"),
    "--style-statistic": ("gram", "moments"),
    "--style-weight": ("0", "1e3", "x"),
    "--tile": ("auto", "off", "16", "64", "15"),
    "--trace": (
        "t.json",
        "inputs/photo.png",
        "old.json",
        "OUT.png",
        "none/t.json",
        "old run/checkpoint-9.json",
    ),
    "--tv-weight": ("0", "1e-3", "-1"),
    "--verbose": (None,),
    "--verbosity": ("-1", "1", "loud"),
    "--weights": ("embedded", "inputs/photo.png", "none.h5"),
}
# Of the settings, those of the other programs.
BATCH_SETTINGS = ("--init", "--levels", "--optimizer", "--preset", "--size-of", "--strength", "--tile")
BATCH_FLAGS = {
    "--jobs": ("jobs.csv", "JOBS.CSV", "none.csv"),
    "--json": (None,),
    "--quiet": (None,),
    "--workers": ("1", "2", "0"),
}
EXPORT_SETTINGS = ("--preset", "--strength", "--style-statistic", "--style-scale")
PROGRAMS = ("stylize", "stylize-batch", "stylize-export")
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".pb")
# Each takes the other beside it.
TOGETHER = {"--coarse-style": "--fine-style", "--fine-style": "--coarse-style"}
PICTURES = ("inputs/photo.png", "inputs/out-00002.png", "inputs/alpha.png", "link.png", "hard.png")
BAD_PICTURES = ("inputs/none.png", "inputs/text.png", "inputs", "")
OUTPUTS = ("out.png", "out.jpg", "out.tif", "inputs/out.png", "./x/../out.webp")
BAD_OUTPUTS = (
    "inputs/photo.png",
    "link.png",
    "hard.png",
    "inputs/../inputs/photo.png",
    "out",
    "none/o.png",
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command line ended.

    Attributes:
      kind: Of what is counted.
      fault: What must not be, or nothing.
    """

    kind: str
    fault: str = ""


def main() -> None:
    """Prints how many command lines ended how, and each that ended otherwise than it must."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    faults = []
    start = time.monotonic()
    programs = Programs()
    with tempfile.TemporaryDirectory() as temporary:
        place, template = (pathlib.Path(temporary) / name for name in ("place", "template"))
        # Where they will be copied to, for what is stored has absolute paths.
        make_files(place, programs)
        place.rename(template)
        for index in range(arguments.lines):
            chosen = random.Random(f"{arguments.seed}/{index}")
            line = command_line(chosen)
            outcome = try_line(programs, template, place, line)
            counts[outcome.kind] += 1
            if outcome.fault:
                faults.append(f"{index}: {' '.join(line)}: {outcome.fault}")
                print(faults[-1], flush=True)
            if (index + 1) % 10 == 0:
                print(f"{index + 1} lines, {dict(counts)}, {len(faults)} faults", flush=True)
            shutil.rmtree(place)
        programs.close()
    minutes = (time.monotonic() - start) / 60
    rows = "\n".join(f"| {kind} | {count} |" for kind, count in sorted(counts.items()))
    text = (
        f"{results.machine()}. {arguments.lines} command lines, seed {arguments.seed}, in "
        f"{minutes:.0f} minutes.\n\n| ended with | lines |\n|---|---|\n{rows}\n\n"
        f"An input changed, something left behind, or another end: {len(faults)}."
    )
    print(text)
    if arguments.write:
        results.replace_section("random flags", text)
    sys.exit(bool(faults))


def make_files(folder: pathlib.Path, programs: "Programs") -> None:
    """The files that command lines name: pictures, links to them, a run to resume, its trace."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "logs").mkdir()
    with (
        Image.open(ROOT / "examples" / "chelsea.jpg") as photo,
        Image.open(ROOT / "examples" / "style.jpg") as style,
    ):
        photo.resize((60, 40)).save(folder / "inputs" / "photo.png")
        style.resize((50, 50)).save(folder / "inputs" / "out-00002.png")
        Image.linear_gradient("L").resize((60, 40)).save(folder / "inputs" / "mask.png")
        transparent = photo.resize((40, 60))
        transparent.putalpha(Image.linear_gradient("L").resize((40, 60)))
        transparent.save(folder / "inputs" / "alpha.png")
    (folder / "inputs" / "text.png").write_text("I am no picture.\n")
    (folder / "link.png").symlink_to("inputs/photo.png")
    os.link(folder / "inputs" / "photo.png", folder / "hard.png")
    for name in ("jobs.csv", "JOBS.CSV"):
        (folder / name).write_text("content,style\ninputs/photo.png,hard.png\n,\n")
    (folder / "flags.txt").write_text("--size=40\n--iterations=2\n")
    line = ["--content", "inputs/photo.png", "--style", "inputs/out-00002.png", "--size", "32"]
    line += ["--iterations", "2", "--output", "first.png", "--trace", "old.json", "--quiet"]
    done = programs.run(folder, ["stylize", *line, "--checkpoint", "old run"])
    if done.returncode:
        sys.exit(done.stderr)
    (folder / "first.png").unlink()


def command_line(chosen: random.Random) -> list[str]:
    """A program and its flags."""
    program = chosen.choices(PROGRAMS, (84, 13, 3))[0]
    if program == "stylize":
        return [program, *_of_stylize(chosen)]
    own = BATCH_FLAGS if program == "stylize-batch" else {"--max-iterations": ("9", "1", "x")}
    settings = EXPORT_SETTINGS if program == "stylize-export" else BATCH_SETTINGS
    line = _flags(chosen, own | {name: FLAGS[name] for name in settings})
    line += ["--size", "32"] * ("--size" not in _names(line))
    line += ["--iterations", "2"] * ("--iterations" not in _names(line))
    if program == "stylize-export":
        line += ["--style", chosen.choice(PICTURES), "--output", chosen.choice(("made", *PICTURES))]
    elif chosen.random() < 0.9:
        line += ["--contents", chosen.choice(("inputs/p*.png", "link.png", "x", "inputs"))]
        line += ["--styles", chosen.choice(("inputs/out-00002.png", "hard.png"))]
        line += ["--output", chosen.choice(("made", "made/../made", "inputs", "x", "inputs/photo.png"))]
    return [program, *line]


def _of_stylize(chosen: random.Random) -> list[str]:
    line = _flags(chosen, FLAGS)
    names = _names(line)
    if chosen.random() < 0.7:
        for one in names & TOGETHER.keys():
            if TOGETHER[one] not in names:
                line.append(f"{TOGETHER[one]}={FLAGS[TOGETHER[one]][0]}")
        names = _names(line)
    is_stored = bool({"--resume", "--from-trace"} & names)
    if not is_stored or chosen.random() < 0.3:
        if chosen.random() < 0.92:
            line += ["--content", chosen.choice(PICTURES if chosen.random() < 0.93 else BAD_PICTURES)]
        has_styles = TOGETHER.keys() <= names and chosen.random() < 0.8
        for _ in range(0 if has_styles else chosen.choice((0, 1, 1, 1, 1, 1, 1, 2))):
            line += ["--style", chosen.choice(PICTURES if chosen.random() < 0.95 else BAD_PICTURES)]
        for name, value in (("--size", "48"), ("--iterations", "3")):
            if not {name, "--flagfile"} & names:
                line += [name, value]
    if not is_stored or chosen.random() < 0.7:
        line += ["--output", chosen.choice(OUTPUTS if chosen.random() < 0.9 else BAD_OUTPUTS)]
    return line


def _flags(chosen: random.Random, known: dict[str, tuple[str | None, ...]]) -> list[str]:
    """A few of the flags; their first values, which are the sound ones, more often."""
    line = []
    count = chosen.choice((0, 1, 2, 2, 3, 3, 4, 6))
    for name in chosen.sample(sorted(known), min(count, len(known))):
        values = known[name]
        value = chosen.choice(values[: (len(values) + 1) // 2] if chosen.random() < 0.7 else values)
        line.append(name if value is None else f"{name}={value}")
    return line


def _names(line: list[str]) -> set[str]:
    return {each.partition("=")[0] for each in line}


def try_line(
    programs: "Programs", template: pathlib.Path, place: pathlib.Path, line: list[str]
) -> Outcome:
    """Runs one command line on fresh copies of the files."""
    subprocess.run(["cp", "-a", str(template), str(place)], check=True)
    before = contents(place)
    done = programs.run(place, line)
    fault = _fault(line, done, before, contents(place))
    if done.returncode == 2:
        return Outcome("one line and code 2", fault)
    if done.returncode == 0:
        is_model = line[0] == "stylize-export"
        kind = "a plan" if "--dry-run" in line else "a model" if is_model else "a picture"
        return Outcome(f"{kind} and code 0", fault)
    if line[0] == "stylize-batch" and done.returncode == 1:
        return Outcome("a line for each picture of a batch that failed, and code 1", fault)
    return Outcome(f"code {done.returncode}", fault or f"code {done.returncode}: {done.stderr}")


def _fault(
    line: list[str],
    done: subprocess.CompletedProcess,
    before: dict[str, str],
    after: dict[str, str],
) -> str:
    """What must not be in the way that a command line ended, or nothing."""
    names = _names(line)
    # What is not meant to stay as it is, if all goes well.
    own = ["logs/"]
    if done.returncode == 0:
        own += ["old run/"] * ("--resume=old run" in line)
        own += ["old.json"] * ("--trace=old.json" in line and "--from-trace=old.json" not in line)
    changed = {name for name in before if after.get(name) != before[name]}
    changed = {name for name in changed if not name.startswith(tuple(own))}
    replaced = changed & _replaced(line, before) if done.returncode == 0 else set()
    changed -= replaced
    if changed:
        return f"changed: {sorted(changed)}"
    new = {name for name in after.keys() - before.keys() if not name.startswith(tuple(own))}
    hidden = [name for name in new if pathlib.Path(name).name.startswith(".") or name.endswith(".tmp")]
    if hidden:
        return f"left behind: {hidden}"
    if "Traceback" in done.stderr:
        return done.stderr
    if new and (done.returncode == 2 or "--dry-run" in names):
        return f"left behind: {sorted(new)}"
    if done.returncode == 2 and "--log_dir=logs" not in line:
        told = done.stdout if "--json" in names and not done.stderr else done.stderr
        errors = [each for each in told.splitlines() if "warning: " not in each]
        return "" if len(errors) == 1 else f"{len(errors)} lines: {told}"
    if done.returncode == 0 and "--dry-run" not in names:
        is_made = any(pathlib.Path(name).suffix in SUFFIXES for name in new | replaced)
        return "" if is_made else f"nothing was made: {done.stderr}"
    return ""


def _replaced(line: list[str], before: dict[str, str]) -> set[str]:
    """The files that may be replaced: an output and its snapshots, if they are not read."""
    values = dict(itertools.pairwise(line)) | dict(each.split("=", 1) for each in line if "=" in each)
    readers = ("--content", "--init", "--coarse-style", "--fine-style", "--content-mask")
    named = [values.get(name, "") for name in readers]
    named += [value for name, value in itertools.pairwise(line) if name == "--style"]
    read = {before.get("inputs/photo.png" if name == "link.png" else name) for name in named}
    name = os.path.normpath(values.get("--output", ""))
    stem, suffix = os.path.splitext("inputs/photo.png" if name == "link.png" else name)
    output = re.compile(rf"{re.escape(stem)}(-\d{{5}})?{re.escape(suffix)}")
    return {name for name in before if output.fullmatch(name) and before[name] not in read}


def contents(folder: pathlib.Path) -> dict[str, str]:
    """What is in a folder: each file's SHA-256, and of folders that they are there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = (
            f"link to {os.readlink(path)}"
            if path.is_symlink()
            else "folder"
            if path.is_dir()
            else hashlib.sha256(path.read_bytes()).hexdigest()
        )
    return found


class Programs:
    """The programs, in a process that has imported TensorFlow once; a new one after some lines."""

    def __init__(self):
        """Starts no process yet."""
        self._process = None
        self._left = 0

    def run(self, folder: pathlib.Path, line: list[str]) -> subprocess.CompletedProcess:
        """Runs one command line in a folder."""
        if self._left == 0 or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._left = LINES_OF_A_PROCESS
        # What TensorFlow is told so stays so.
        self._left = 0 if "--deterministic" in line else self._left - 1
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            own = f"/proc/{os.getpid()}/fd"
            told = [f"{own}/{file.fileno()}" for file in (out, error)]
            print(json.dumps([str(folder), line, *told]), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            # Nothing comes from a process that has died.
            code = int(answer) if answer else self._process.wait()
            return subprocess.CompletedProcess(line, code, out.read(), error.read())

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()


if __name__ == "__main__":
    main()
