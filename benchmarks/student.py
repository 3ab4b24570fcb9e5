"""A student from its training to its pictures: quality, speed, head start, resume, exports.

python benchmarks/student.py --output FOLDER --images PAINTINGS --minutes 55 --write

Trains, in FOLDER/students, a student of examples/style.jpg, one of --painting, and, for the head start,
one on the objective of each peer; each takes --minutes. The photographs are those that scikit-image and
scikit-learn ship, and those of --photos; none of a pair that is judged. What is there is not made
again. It wants a quiet machine, for nearly all of it is timed. --stages names some parts of it, and
--toy goes through all of it in minutes, and proves nothing else.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import peers
import quality_pairs
import results
import student_head_start
import student_serving
from PIL import Image

from tf_style.student import memory
from tf_style.student.plan import Plan

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import peak_memory  # noqa: E402

# What a student of a style learns but for the head start.
PAINTERLY = "painterly"
STAGES = ("train", "memory", "pictures", "serving", "head-start", "resume", "exports")
# Side of the pieces, pieces a step, channels, precision, and the styles' size.
TRAININGS = (
    *((96, 1, 24, "bfloat16", 256), (256, 4, 24, "bfloat16", 256), (256, 8, 24, "bfloat16", 256)),
    *((256, 4, 64, "bfloat16", 512), (64, 1, 24, "bfloat16", 512)),
    *((256, 8, 24, "float32", 256), (256, 4, 64, "float32", 256), (64, 1, 24, "float32", 512)),
)
# Of each package what is a photograph, and in no pair.
PHOTOGRAPHS = {
    "skimage": (
        "data",
        (
            *("camera.png", "motorcycle_left.png", "retina.jpg", "hubble_deep_field.jpg", "ihc.png"),
            *("coins.png", "moon.png", "brick.png", "gravel.png", "grass.png"),
        ),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
}
CALIBRATION_STEPS = 40
TOY = (
    *("--size", "64", "--crop", "32", "--batch", "1", "--channels", "8", "--blocks", "1"),
    *("--style-layers", "conv1_1,conv2_1"),
)


def main() -> None:
    """Goes through the stages that are asked for."""
    arguments = parse()
    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    styles = {"style": ROOT / "examples" / "style.jpg"}
    if arguments.painting is not None:
        styles["painting"] = arguments.painting
    stages = {
        "train": lambda: train_all(styles, folder, arguments),
        "memory": lambda: training_memory(folder, arguments),
        "pictures": lambda: pictures(styles, folder, arguments),
        "serving": lambda: student_serving.report(
            student_of("style", PAINTERLY, folder),
            folder,
            sizes=(96,) if arguments.toy else (512, 1024),
        ),
        "head-start": lambda: student_head_start.report(
            styles["style"], lambda preset: student_of("style", preset, folder), folder, arguments
        ),
        "resume": lambda: resume(folder, *((1, 30) if arguments.toy else (20, 400))),
        "exports": lambda: exports(student_of("style", PAINTERLY, folder)),
    }
    for stage in arguments.stages:
        results.report(f"student: {stage}", stages[stage](), write=arguments.write)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for all of it")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--minutes", type=float, default=55.0, help="of each training")
    parser.add_argument("--steps", type=int, help="of each training, in place of its minutes")
    parser.add_argument("--painting", type=pathlib.Path, help="a second style, one of quality_pairs.py")
    parser.add_argument(
        "--photos", type=pathlib.Path, action="append", default=[], help="folders of more"
    )
    parser.add_argument(
        "--images", type=pathlib.Path, action="append", default=[], help="as of quality.py"
    )
    parser.add_argument("--size", type=int, default=512, help="of the pictures that are compared")
    parser.add_argument(
        "--peers", nargs="*", default=["pastiche", "neural-style"], help="of the head start"
    )
    parser.add_argument("--toy", action="store_true", help="all stages at a small size")
    peers.add_peer_flags(parser)
    parser.add_argument("--write", action="store_true", help="replace the sections in RESULTS.md")
    parsed = parser.parse_args()
    if parsed.toy:
        parsed.size = 96
    return parsed


def student_of(style: str, preset: str, folder: pathlib.Path) -> pathlib.Path:
    """Where the student of a style and an objective is."""
    return folder / "students" / f"{style}-{preset}"


def photographs(folder: pathlib.Path, more: list[pathlib.Path]) -> list[str]:
    """Flags of the photographs to learn from, those of packages copied into one folder."""
    target = folder / "photographs"
    target.mkdir(exist_ok=True)
    for package, (place, names) in PHOTOGRAPHS.items():
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            print(f"{package} is not installed: its photographs are left out", file=sys.stderr)
            continue
        for name in names:
            source = pathlib.Path(found.origin).parent / place / name
            if source.exists():
                shutil.copy(source, target)
    judged = {pathlib.Path(content).stem for content, _ in quality_pairs.PAIRS.values()}
    for each in (target, *more):
        if seen := [path for path in each.rglob("*") if path.stem in judged]:
            sys.exit(f"{seen[0]} is of a pair that is judged")
    return [flag for each in (target, *more) for flag in ("--photos", str(each))]


def train_all(
    styles: dict[str, pathlib.Path], folder: pathlib.Path, arguments: argparse.Namespace
) -> list[str]:
    """Trains what is not there; a table of the trainings."""
    wanted = [(name, PAINTERLY) for name in styles]
    presets = {peer.preset for peer in peers.PEERS if peer.name in arguments.peers}
    wanted += [("style", preset) for preset in sorted(presets)]
    lines = [
        "Losses are means of the first and of the last tenth of the steps.",
        "",
        "| student | photographs | steps | minutes | s a step | loss, first | last |",
        f"|{'---|' * 7}",
    ]
    for name, preset in wanted:
        target = student_of(name, preset, folder)
        record = target.with_suffix(".json")
        if not record.exists():
            train(styles[name], preset, target, record, folder, arguments)
        made = json.loads(record.read_text())
        told = made["progress"]
        tenth, last = max(1, len(told) // 10), told[-1]
        before, after = (
            np.mean([each["loss"] for each in part]) for part in (told[:tenth], told[-tenth:])
        )
        lines.append(
            f"| {target.name} | {made['photographs']} | {last['step']} | {made['seconds'] / 60:.1f} "
            f"| {last['seconds_per_step'] or 0:.2f} | {before:.4g} | {after:.4g} |"
        )
    return lines


def train(
    style: pathlib.Path,
    preset: str,
    target: pathlib.Path,
    record: pathlib.Path,
    folder: pathlib.Path,
    arguments: argparse.Namespace,
) -> None:
    """One training of as many steps as the minutes give, from the shell."""
    command = [sys.executable, str(ROOT / "bin" / "stylize-train"), "--style", str(style), "--json"]
    command += [
        *photographs(folder, arguments.photos),
        "--preset",
        preset,
        # It knows the style's strokes at the size that the pictures to come have them.
        *(TOY if arguments.toy else ("--size", str(arguments.size))),
    ]
    steps = arguments.steps or CALIBRATION_STEPS
    if not (arguments.toy or arguments.steps):
        with tempfile.TemporaryDirectory() as trial:
            # Previews come every twentieth of the steps, and so much oftener than they will.
            flags = ["--output", f"{trial}/student", "--steps", str(CALIBRATION_STEPS)]
            flags += ["--preview-every", str(CALIBRATION_STEPS)]
            told = progress_of([*command, *flags])
        left = 60 * arguments.minutes - told[0]["seconds"]
        steps = max(10, int(left / told[-1]["seconds_per_step"] / 10) * 10)
    start = time.time()
    told = progress_of([*command, "--output", str(target), "--steps", str(steps)])
    seconds = time.time() - start
    stored = json.loads((target / "student.json").read_text())["request"]
    made = {"progress": told, "seconds": seconds, "photographs": stored["description"]["photographs"]}
    record.write_text(json.dumps(made))


def training_memory(folder: pathlib.Path, arguments: argparse.Namespace) -> list[str]:
    """A table of trainings' peaks and of what is reckoned."""
    lines = [
        "| pieces, px | a step | channels | precision | styles, px | MiB at most | expected |",
        f"|{'---|' * 7}",
    ]
    command = [sys.executable, str(ROOT / "bin" / "stylize-train"), "--quiet", "--steps", "6"]
    command += ["--no-memory-check", "--style", str(ROOT / "examples" / "style.jpg")]
    command += photographs(folder, arguments.photos)
    for crop, batch, channels, precision, size in TRAININGS[: 1 if arguments.toy else None]:
        plan = {
            "crop": crop,
            "batch": batch,
            "channels": channels,
            "precision": precision,
            "size": size,
        }
        flags = [text for name, value in plan.items() for text in (f"--{name}", str(value))]
        with tempfile.TemporaryDirectory() as trial:
            done, peak = peak_memory.run([*command, *flags, "--output", f"{trial}/student"])
        if done.returncode:
            sys.exit(done.stderr)
        expected = memory.training_estimate(Plan(**plan), precision)
        lines.append(
            f"| {crop} | {batch} | {channels} | {precision} | {size} | {peak / 2**20:.0f} "
            f"| {expected / 2**20:.0f} |"
        )
    return lines


def progress_of(command: list[str]) -> list[dict]:
    """What a training tells of its progress."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [each for each in told if each["event"] == "progress"]


def pictures(
    styles: dict[str, pathlib.Path], folder: pathlib.Path, arguments: argparse.Namespace
) -> list[str]:
    """The optimiser's pictures and the student's, scored by `quality.py`."""
    lines = []
    for name, style in styles.items():
        pairs = [pair for pair, (_, of) in quality_pairs.PAIRS.items() if of == style.name]
        pairs = pairs[:1] if arguments.toy else pairs
        student = student_of(name, PAINTERLY, folder)
        output = folder / f"quality-{name}"
        command = [sys.executable, str(ROOT / "benchmarks" / "quality.py"), "--output", str(output)]
        command += ["--size", str(arguments.size), "--pairs", *pairs, "--peers"]
        command += ["--ours", "ours:" + (" --iterations 5" if arguments.toy else "")]
        command += ["--ours", f"student: --student {student}"]
        command += [
            flag for path in (*arguments.images, style.parent) for flag in ("--images", str(path))
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for pair in pairs:
            parts = [output / pair / f"{part}.png" for part in ("content", "style", "ours", "student")]
            beside(parts, folder / f"{pair}.png")
        table = (output / "table.md").read_text().split("\n\n")
        lines += [f"{name}:", "", *"\n\n".join(table[1:]).splitlines(), ""]
    return lines


def beside(pictures: list[pathlib.Path], output: pathlib.Path) -> None:
    """Pictures from left to right, all at the first one's height."""
    images = [Image.open(path).convert("RGB") for path in pictures]
    height = images[0].height
    fitted = [image.resize((round(image.width * height / image.height), height)) for image in images]
    Image.fromarray(np.concatenate([np.asarray(image) for image in fitted], axis=1)).save(output)


def resume(folder: pathlib.Path, runs: int, steps: int) -> list[str]:
    """Small trainings killed with SIGKILL at random moments and resumed: are the bits the same?"""
    command = [
        sys.executable,
        str(ROOT / "bin" / "stylize-train"),
        "--quiet",
        "--checkpoint-every",
        "0",
    ]
    start = [*command, "--style", str(ROOT / "examples" / "style.jpg")]
    start += ["--photos", str(toy_photographs(folder)), *TOY, "--steps", str(steps)]
    moments = random.Random(0)
    same = kills = resumed = 0
    with tempfile.TemporaryDirectory() as temporary:
        straight = pathlib.Path(temporary) / "straight"
        began = time.monotonic()
        subprocess.run([*start, "--output", str(straight)], check=True)
        seconds = time.monotonic() - began
        for index in range(runs):
            target = pathlib.Path(temporary) / f"killed-{index}"
            is_resumed = False
            while True:
                going = [*start, "--output", str(target)]
                if any((target / "training").glob("checkpoint-*.json")):
                    is_resumed, going = True, [*command, "--resume", str(target)]
                process = subprocess.Popen(going)
                try:
                    process.wait(moments.uniform(0.3, 1.0) * seconds)
                    break
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills += 1
            if process.returncode:
                sys.exit(f"{target} was not resumed: exit code {process.returncode}")
            resumed += is_resumed
            same += is_resumed and all(
                np.array_equal(array, of_straight)
                for array, of_straight in zip(arrays(target), arrays(straight), strict=True)
            )
    ended = f"{same} of {resumed} trainings that were killed ({kills} times in all) and resumed"
    return [f"{ended} ended with the bits of the straight one."]


def toy_photographs(folder: pathlib.Path) -> pathlib.Path:
    """Eight cuttings of one photograph."""
    target = folder / "cuttings"
    target.mkdir(exist_ok=True)
    with Image.open(ROOT / "examples" / "chelsea.jpg") as photograph:
        for index in range(8):
            photograph.crop((20 * index, 0, 20 * index + 160, 120)).save(target / f"{index}.png")
    return target


def arrays(student: pathlib.Path) -> list[np.ndarray]:
    """A student's weights, by name."""
    with np.load(student / "student.npz", allow_pickle=False) as archive:
        return [archive[name] for name in sorted(archive.files)]


def exports(student: pathlib.Path) -> list[str]:
    """How far exports are from the Keras model, on a photograph at 256 px."""
    import tensorflow as tf

    import tf_style
    from tf_style.images.picture import resize, working_size
    from tf_style.serve.student_lite import run_lite

    photo = tf_style.read_image(str(ROOT / "examples" / "chelsea.jpg")).pixels
    photo = resize(photo, *working_size(*photo.shape[:2], 256, "long"))[np.newaxis]
    keras = tf_style.Student.load(student, precision="float32")(tf.constant(photo)).numpy()
    made = {"Keras in bfloat16": tf_style.Student.load(student, precision="bfloat16")(photo).numpy()}
    sizes = {}
    with tempfile.TemporaryDirectory() as temporary:
        exported = tf_style.export_student(student, f"{temporary}/model")
        signature = tf.saved_model.load(str(exported)).signatures["stylize_tensor"]
        made["SavedModel"] = signature(images=tf.constant(photo))["stylized"].numpy()
        for weights in ("float16", "int8"):
            path = pathlib.Path(temporary) / f"{weights}.tflite"
            tf_style.export_lite(student, path, weights=weights)
            sizes[f"TFLite, {weights}"] = path.stat().st_size
            inputs = {"photographs": photo}
            made[f"TFLite, {weights}"] = run_lite(path.read_bytes(), inputs)
    lines = ["| export | largest difference, levels | mean | MB |", "|---|---|---|---|"]
    for name, picture in made.items():
        difference = 255 * np.abs(picture - keras)
        megabytes = f"{sizes[name] / 1e6:.1f}" if name in sizes else ""
        lines.append(f"| {name} | {difference.max():.2f} | {difference.mean():.3f} | {megabytes} |")
    return lines


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
