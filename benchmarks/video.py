"""Videos against their frames made one by one: flicker, style, content, seconds a frame.

python benchmarks/video.py [--side 192] [--frames 8] [--scenes pan,zoom] [--output FOLDER] [--write]
python benchmarks/video.py --constant history.MOVING=1  # What the constants of tf_style.video do.
python benchmarks/video.py --student FOLDER  # Of a student, whose style the painting is.

The warping error is the mean square of a frame's difference from the last one, warped by the flow of
the source, where that can be trusted, with colours in 0..1 (Lai et al., "Learning Blind Video Temporal
Consistency", ECCV 2018). A blurred or unstyled video has the least, so distances to the painting and to
the photograph stand beside it.
"""

import argparse
import importlib
import itertools
import pathlib
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import quality_metrics
import results
import video_scenes
from PIL import Image

import tf_style
from tf_style.images.picture import Picture, resize, working_size
from tf_style.transfer.settings import Settings
from tf_style.video.flow import flow, grey, warp
from tf_style.video.frame_inputs import FrameInputs
from tf_style.video.frames import FrameStylizer
from tf_style.video.options import OPTION_NAMES, VideoOptions
from tf_style.video.reliability import reliability
from tf_style.video.student_frames import StudentFrames

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--content", default=ROOT / "examples" / "chelsea.jpg", type=pathlib.Path)
    parser.add_argument("--style", default=ROOT / "examples" / "style.jpg", type=pathlib.Path)
    parser.add_argument("--side", default=192, type=int, help="of the frames, in pixels")
    parser.add_argument("--frames", default=8, type=int, help="of each scene")
    parser.add_argument("--scenes", help="some of them, separated by commas")
    parser.add_argument("--presets", default="painterly", help="separated by commas")
    parser.add_argument(
        "--student", type=pathlib.Path, help="makes the frames in place of the optimiser"
    )
    parser.add_argument("--seconds", type=int, help="only seconds a frame, at this many pixels")
    for name in sorted(OPTION_NAMES):
        kind = type(getattr(VideoOptions(), name))
        parser.add_argument(
            f"--{name.replace('_', '-')}", default=getattr(VideoOptions(), name), type=kind
        )
    parser.add_argument(
        "--constant",
        action="append",
        default=[],
        metavar="MODULE.NAME=NUMBER",
        help="another value of a constant of tf_style.video, such as history.MOVING=1; repeatable",
    )
    parser.add_argument("--output", type=pathlib.Path, help="strips of frames and of their differences")
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    arguments = parser.parse_args()
    options = VideoOptions(**{name: getattr(arguments, name) for name in OPTION_NAMES})
    for constant in arguments.constant:
        set_constant(constant)
    if arguments.seconds is not None:
        lines = seconds_a_frame(arguments.content, arguments.style, arguments.seconds, options)
        results.report("video: seconds a frame", lines, write=arguments.write)
        return
    scenes = video_scenes.make(arguments.content, arguments.side, arguments.frames)
    painting = tf_style.read_image(arguments.style)
    student = None if arguments.student is None else tf_style.Student.load(arguments.student)
    passes = "a student's" if student else f"{options.frame_iterations} iterations a frame"
    lines = [
        f"{arguments.frames} frames of {arguments.side} x {arguments.side * 3 // 4} pixels, "
        f"{passes}, temporal weight {options.temporal_weight:g}.",
        "",
        "| scene | preset | | warping error | of one by one | to the first frame | patch distance "
        "| edge correlation | change a frame, levels |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for preset in ["student"] if student else arguments.presets.split(","):
        for name in (arguments.scenes or ",".join(scenes)).split(","):

            def make_frames(preset: str = preset) -> FrameStylizer | StudentFrames:
                if student:
                    return StudentFrames(student, Settings(size=arguments.side), options)
                settings = Settings(size=arguments.side, preset=preset)
                return FrameStylizer(FrameInputs([painting], settings, options))

            found = rows((name, preset), scenes[name], painting, make_frames, arguments.output)
            print(*found, sep="\n", file=sys.stderr, flush=True)
            lines += found
    results.report("video: a student" if student else "video", lines, write=arguments.write)


def set_constant(text: str) -> None:
    """Sets a constant to a value of the kind that it has, by `MODULE.NAME=NUMBER`."""
    place, _, value = text.partition("=")
    module_name, _, name = place.partition(".")
    module = importlib.import_module(f"tf_style.video.{module_name}")
    setattr(module, name, type(getattr(module, name))(value))


def rows(
    named: tuple[str, str],
    sources: Sequence[np.ndarray],
    painting: Picture,
    make_frames: Callable[[], FrameStylizer | StudentFrames],
    output: pathlib.Path | None,
) -> list[str]:
    """A scene's lines of the table: ours, one by one, and the source; named by scene and preset."""
    scene = " | ".join(named)
    stylizer = make_frames()
    frames = [stylizer.make(Picture(source / np.float32(255))) for source in sources]
    shots = [index for index, frame in enumerate(frames) if frame.begins_shot]
    # Of the last shot, as all that is compared; its first frame is made alone in any case.
    shot = slice(shots[-1], None)
    ours, of_shot = [frame.pixels for frame in frames[shot]], sources[shot]
    single = make_frames()
    alone = []
    for source in of_shot[1:]:
        single._history.clear()
        alone.append(single.make(Picture(source / np.float32(255))).pixels)
    side = max(sources[0].shape)
    small = resize(painting.pixels, *working_size(painting.height, painting.width, side, "area"))
    theirs = error_of(of_shot[1:], alone)

    def near(pictures: Sequence[np.ndarray], of: Sequence[np.ndarray]) -> str:
        patch = np.mean([quality_metrics.patch_distance(each, 255 * small) for each in pictures])
        edge = np.mean(
            [quality_metrics.edge_correlation(*pair) for pair in zip(pictures, of, strict=True)]
        )
        return f"{patch:.4f} | {edge:.3f}"

    def line(what: str, pictures: Sequence[np.ndarray], error: float, far: str) -> str:
        change = np.mean(
            [
                np.abs(here.astype(float) - before).mean()
                for before, here in itertools.pairwise(pictures)
            ]
        )
        # What stands still is the same each time it is made alone.
        share = f"{error / theirs:.3f}" if theirs else ""
        return (
            f"| {scene} | {what} | {error:.2e} | {share} | {far} "
            f"| {near(pictures[-len(alone) :], of_shot[1:])} | {change:.2f} |"
        )

    if output is not None:
        write_strips(output, "-".join(named), of_shot, ours)
    found = [
        line("ours", ours, error_of(of_shot, ours), f"{far_error(of_shot, ours):.2e}"),
        f"| {scene} | its first frame | | | | {near(ours[:1], of_shot[:1])} | |",
        line("one by one", alone, theirs, ""),
        line("source", of_shot, error_of(of_shot, of_shot), ""),
    ]
    if len(shots) > 1:
        found.append(f"| | | shots begin at frames {', '.join(map(str, shots))} | | | | | | |")
    return found


def error_of(sources: Sequence[np.ndarray], made: Sequence[np.ndarray]) -> float:
    """The mean warping error of neighbours."""
    pairs = range(1, len(sources))
    return float(np.mean([_error(sources, made, index - 1, index) for index in pairs]))


def far_error(sources: Sequence[np.ndarray], made: Sequence[np.ndarray]) -> float:
    """That of the first and the last frame."""
    return _error(sources, made, 0, len(sources) - 1)


def _error(sources: Sequence[np.ndarray], made: Sequence[np.ndarray], before: int, here: int) -> float:
    seen, earlier = (grey(sources[index] / 255) for index in (here, before))
    to_earlier = flow(seen, earlier)
    trusted = reliability(to_earlier, flow(earlier, seen)).trusted > 0.5
    difference = (warp(made[before], to_earlier) - made[here]) / 255
    return float(np.square(difference)[trusted].mean())


def write_strips(
    folder: pathlib.Path, name: str, sources: Sequence[np.ndarray], made: Sequence[np.ndarray]
) -> None:
    """Writes some frames side by side: sources, made, and what changes after warping, four times."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = range(1, len(made), max(1, len(made) // 4))
    changes = []
    for index in chosen:
        seen, earlier = (grey(sources[each] / 255) for each in (index, index - 1))
        difference = np.abs(warp(made[index - 1], flow(seen, earlier)) - made[index])
        changes.append(np.clip(4 * difference, 0, 255).astype(np.uint8))
    strips = [[each[index] for index in chosen] for each in (sources, made)] + [changes]
    picture = np.concatenate([np.concatenate(strip, axis=1) for strip in strips])
    Image.fromarray(picture).save(folder / f"{name.replace(' ', '-')}.png")


def seconds_a_frame(
    content: pathlib.Path, style: pathlib.Path, side: int, options: VideoOptions
) -> list[str]:
    """Seconds of a picture and of the frames after it."""
    sources = video_scenes.make(content, side, 3)["pan"]
    inputs = FrameInputs([tf_style.read_image(style)], Settings(size=side), options)
    stylizer = FrameStylizer(inputs)
    taken = []
    for source in sources:
        start = time.perf_counter()
        stylizer.make(Picture(source / np.float32(255)))
        taken.append(time.perf_counter() - start)
    picture, frame = taken[0], float(np.mean(taken[1:]))
    return [
        f"At {side} x {side * 3 // 4} pixels, {options.frame_iterations} iterations a frame; the",
        "picture's time has that of its graphs, which the frames after it share.",
        "",
        "| a picture | a frame after it | of the picture |",
        "|---|---|---|",
        f"| {picture:.1f} s | {frame:.1f} s | {frame / picture:.2f} |",
    ]


if __name__ == "__main__":
    main()
