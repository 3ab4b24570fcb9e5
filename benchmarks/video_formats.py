"""Videos of all kinds through `stylize-video`: what is in the file that it gives, and kills.

python benchmarks/video_formats.py [--write]

The frames are made by a student of random weights, for what is looked at is what is around them;
those of the kills by the optimiser.
"""

import argparse
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np
import results
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import clips  # noqa: E402
import students  # noqa: E402

KILLS = 5


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the sections in RESULTS.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        lines = ["| | source | made | exit code and line |", "|---|---|---|---|", *formats(folder)]
        results.report("video: formats", lines, write=arguments.write)
        results.report("video: kills", [kills(folder)], write=arguments.write)


def formats(folder: pathlib.Path) -> Iterator[str]:
    """A line for each kind of file."""
    student = students.write_untrained(folder / "student")
    for what, source, target in sources(folder):
        output = folder / target
        command = ["--content", str(source), "--student", str(student), "--output", str(output)]
        done = program(*command)
        found = shown(output) if output.exists() else "none"
        told = (done.stderr.strip().splitlines() or [""])[-1].replace(f"{folder}/", "")
        given = shown(source) if done.returncode != 2 else source.name
        code = f"{done.returncode}: {told}" if done.returncode else "0"
        yield f"| {what} | {given} | {found} | {code} |"


def sources(folder: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, str]]:
    """What each is, its file, and the name of the file to make of it."""

    def clip(name: str, height: int = 48, width: int = 64, **options: object) -> pathlib.Path:
        path = folder / name
        clips.write(path, clips.moving(8, height, width), **options)
        return path

    times = {"times": [0, 40, 100, 140, 300, 340, 360, 500], "time_base": Fraction(1, 1000)}
    yield "turned by 90 degrees", clip("turned.mp4", rotation=90), "turned_made.mp4"
    yield "variable rate", clip("variable.mkv", **times), "variable_made.mkv"
    yield "variable rate, MP4", clip("variable.mp4", **times), "variable_made.mp4"
    ten = clip("ten.mkv", codec="ffv1", pixel_format="yuv420p10le")
    yield "10 bits", ten, "ten_made.mp4"
    yield "odd size", clip("odd.mkv", 51, 67, codec="ffv1", pixel_format="yuv444p"), "odd_made.mp4"
    yield "BT.2020, full range", clip("range.mp4", matrix=9, is_full_range=True), "range_made.mp4"
    yield "pixels not square", clip("pixels.mp4", aspect=Fraction(4, 3)), "pixels_made.mp4"
    yield "sound, AAC", clip("sound.mp4", sound="aac"), "sound_made.mp4"
    yield "sound, AAC into WebM", folder / "sound.mp4", "sound_made.webm"
    whole = clip("whole.mkv", sound="aac").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: 2 * len(whole) // 3])
    yield "truncated", folder / "cut.mkv", "cut_made.mkv"
    text = folder / "text.mp4"
    text.write_text("no video\n")
    yield "not a video", text, "text_made.mp4"
    yield "not there", folder / "none.mp4", "none_made.mp4"


def shown(path: pathlib.Path) -> str:
    """What is in a video file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        sound = [track.codec_context.name for track in container.streams.audio]
        frames, rotation = [], 0
        try:
            for frame in container.decode(stream):
                frames.append(float(frame.time))
                rotation = frame.rotation
        except av.FFmpegError:
            pass
        times = " ".join(f"{1000 * (time - frames[0]):.0f}" for time in frames)
        parts = [
            f"{context.name} {context.pix_fmt} {context.width}x{context.height}",
            f"{len(frames)} frames at {times} ms",
            f"matrix {int(context.colorspace)}, range {int(context.color_range)}",
        ]
        if rotation:
            parts.append(f"rotation {rotation}")
        if stream.sample_aspect_ratio not in (None, 0, 1):
            parts.append(f"pixels {stream.sample_aspect_ratio}")
        return ", ".join([*parts, *sound])


def kills(folder: pathlib.Path) -> str:
    """Runs killed at random moments until they end, against one that was not."""
    clip = folder / "kills.mp4"
    clips.write(clip, clips.moving(8))
    flags = ["--content", str(clip), "--style", students.STYLE, "--size", "64", "--quiet"]
    flags += ["--iterations", "40", "--frame-iterations", "15"]
    began = time.monotonic()
    expected = pictures(folder / "straight", flags)
    seconds, moments, count = time.monotonic() - began, random.Random(0), 0
    pattern = pattern_in(folder / "killed")
    command = [sys.executable, str(ROOT / "bin" / "stylize-video"), *flags, "--output", str(pattern)]
    code = -signal.SIGKILL
    while code == -signal.SIGKILL:
        process = subprocess.Popen(command)
        try:
            code = process.wait(moments.uniform(0.4, 0.8) * seconds if count < KILLS else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            count += 1
    if code:
        sys.exit(f"stylize-video ended with exit code {code}")
    made = read(pattern.parent)
    same = sum(np.array_equal(*pair) for pair in zip(made, expected, strict=True))
    return f"Killed (SIGKILL) {count} times: {same} of {len(expected)} frames have the same bits."


def pictures(folder: pathlib.Path, flags: Sequence[str]) -> list[np.ndarray]:
    """The frames of a run that nothing stops."""
    done = program(*flags, "--output", str(pattern_in(folder)))
    if done.returncode:
        sys.exit(done.stderr)
    return read(folder)


def pattern_in(folder: pathlib.Path) -> pathlib.Path:
    """A pattern of pictures in a new folder."""
    folder.mkdir()
    return folder / "%03d.png"


def read(folder: pathlib.Path) -> list[np.ndarray]:
    """Pictures in order."""
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `stylize-video`."""
    command = [sys.executable, str(ROOT / "bin" / "stylize-video"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


if __name__ == "__main__":
    main()
