"""What a video is asked for: one frozen value. Imports no argparse, no TensorFlow."""

import dataclasses
import hashlib
import math
import os
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from tf_style import files
from tf_style.commands import records, style_flags, video_output
from tf_style.commands.file_roles import FileRoles
from tf_style.commands.outputs import inputs
from tf_style.commands.request import Request
from tf_style.errors import InputError
from tf_style.student.stored import json_path
from tf_style.transfer.settings import SETTING_NAMES, Settings, fields_with_files
from tf_style.video import sequence
from tf_style.video.clip import Span
from tf_style.video.opening import is_sequence
from tf_style.video.options import OPTION_NAMES, VideoOptions

DEFAULT_RATE = Fraction(25)
# What may be a folder or a pattern of pictures.
_MOVING = {"--content", "--content-mask", "--style-blend", "--strength-mask"}
# Raised when a change makes the same request end in other frames.
FORMAT = 4


@dataclasses.dataclass(frozen=True)
class VideoRequest:
    """What to make of a video.

    Attributes:
      frame: What to make of each frame; its content and its output are the videos'.
      options: How frames go on from each other.
      work: The folder of the frames.
      span: Which frames.
      rate: Frames a second, of pictures.
    """

    frame: Request
    options: VideoOptions
    work: str
    span: Span
    rate: Fraction = DEFAULT_RATE

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "VideoRequest":
        """From what a command line gives, by the flags' names.

        Raises:
          InputError: If it contradicts itself, or something would have no effect.
        """
        content, output = given["content"], given["output"]
        if content is None or output is None:
            raise InputError("--content names the video, and --output the one to make.")
        frame_given = style_flags.by_record(
            {name: value for name, value in given.items() if value is not None}
        )
        if not (frame_given.get("style") or given["student"]):
            raise InputError("--style names the style image, or --student who has learnt one.")
        if given["rate"] is not None and not is_sequence(content):
            raise InputError("--rate would have no effect: the content is a video, and has its own.")
        end = given["end"]
        if not 0 <= given["start"] < (math.inf if end is None else end) or end == math.inf:
            raise InputError(
                "--start is 0 or more seconds, and --end is later. Received: "
                f"{given['start']} and {end}"
            )
        if given["every"] < 1:
            raise InputError(f"--every is 1 or more. Received: {given['every']}")
        if frame_given.get("init") == "student":
            raise InputError("--init student is for pictures: each frame starts from the last one.")
        asked = SETTING_NAMES & frame_given.keys()
        frame = Request.make(
            frame_given.pop("content"),
            frame_given.pop("style", ()),
            frame_given.pop("output"),
            Settings(**{name: frame_given.pop(name) for name in asked}),
            given=asked,
            **frame_given,
            check_memory=given["memory_check"],
            dry_run=given["dry_run"],
        )
        return cls(
            frame=frame,
            options=VideoOptions(**{name: given[name] for name in OPTION_NAMES & given.keys()}),
            work=given["work"] or f"{output.replace('%', '')}.work",
            span=Span.of(given["start"], given["end"], given["every"]),
            rate=DEFAULT_RATE if given["rate"] is None else _rate(given["rate"]),
        )

    def check_files(self, flag_files: list[str]) -> None:
        """Refuses what cannot be written, or would be written over what is read. Changes nothing.

        Raises:
          InputError: It says which.
        """
        output, content = self.frame.output, self.frame.content
        reads = [
            (role, each)
            for role, path in inputs(self.frame)
            for each in (_files_of(path) if path is not None and role in _MOVING else [path])
        ]
        reads += [("--flagfile", path) for path in flag_files]
        roles = FileRoles(reads)
        if sequence.is_pattern(output):
            sequence.check_pattern(output)
            for path in (output, video_output.partial(output)):
                roles.write_family("a picture of --output", video_output.family(path))
            folder = os.path.realpath(os.path.dirname(output))
            for role, path in inputs(self.frame):
                # A run that goes on would take what it has written for more of what it reads.
                if path is not None and role in _MOVING and os.path.realpath(path) == folder:
                    raise InputError(
                        f"--output's pictures would be among those of {role}, which is their folder: "
                        f"name another one. Received: {output}"
                    )
        else:
            from tf_style.video import writing

            writing.check_name(output)
            roles.write("--output", output)
            roles.write("what is written if it is not whole", video_output.partial(output))
            files.check_writable(output)
        work = os.path.realpath(self.work)
        for path in (content, output):
            folder = os.path.realpath(
                path if path and os.path.isdir(path) else os.path.dirname(path or "")
            )
            if os.path.commonpath([work, folder]) == work:
                raise InputError(
                    f"--work is a folder of its own, for it is removed. Received: {self.work}"
                )

    def record(self) -> dict[str, Any]:
        """All that the frames depend on but the machine: files by what is in them, not by their names.

        Raises:
          InputError: If one cannot be read.
        """
        what = records.as_dict(self.frame)
        for name in ("output", "trace", "save_every", "bit_depth"):
            del what[name]
        what["content"] = _digest(_files_of(self.frame.content or ""))
        for name in records.LISTS:
            what[name] = [None if path is None else _digest(_files_of(path)) for path in what[name]]
        if self.frame.strength_mask is not None:
            what["strength_mask"] = _digest(_files_of(self.frame.strength_mask))
        if self.frame.student is not None:
            what["student"] = _digest([str(json_path(self.frame.student))])
        what |= {name: _digest([what[name]]) for name in fields_with_files(what)}
        return {
            "video_format": FORMAT,
            **what,
            **dataclasses.asdict(self.options),
            "span": [str(self.span.start), str(self.span.end), self.span.every],
            "rate": str(self.rate),
            # Of a video they are even.
            "is_video": not sequence.is_pattern(self.frame.output),
        }


def _files_of(path: str) -> list[str]:
    """The files that a video, a picture, a folder or a pattern is."""
    return sequence.find(path) if is_sequence(path) else [path]


def _digest(paths: list[str]) -> str:
    """SHA-256 of files, of several that of theirs."""
    each = [files.sha256(path) for path in paths]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def _rate(text: str) -> Fraction:
    try:
        # FFmpeg's fractions have 32 bits; 24000/1001 written as a decimal has more.
        rate = Fraction(text).limit_denominator(1_001_000)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise InputError(
            f"--rate is a number of frames a second, such as 25 or 30000/1001. Received: {text!r}"
        )
    return rate
