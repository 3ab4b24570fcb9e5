"""Many pictures: jobs that can be repeated, on local processes or on Ray."""

import concurrent.futures
import csv
import dataclasses
import glob
import hashlib
import json
import multiprocessing
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tf_style._version import __version__
from tf_style.errors import InputError, TransferError
from tf_style.image_files import reason_of, shown

# A job whose process died is tried so often in all: the next death may be another's fault.
MAX_TRIES = 3


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to make.

    Attributes:
      content: Path of the content image.
      style: Path of the style image.
      output: Path of the picture, named after both and a hash of all that goes into it.
      settings: Fields of `Settings`.
    """

    content: str
    style: str
    output: str
    settings: dict[str, Any]


def make_jobs(
    pairs: Iterable[tuple[str, str]], folder: str | os.PathLike, settings: dict[str, Any]
) -> list[Job]:
    """The jobs of pairs of images.

    Args:
      pairs: Paths of content and style.
      folder: Where the pictures go.
      settings: Fields of `Settings`.

    Returns:
      A job for each different pair, in order. What cannot be read has a name too, and fails when its
      turn comes.
    """
    digests: dict[str, str] = {}
    jobs = {}
    for content, style in pairs:
        for path in (content, style, settings.get("weights", "")):
            if path not in digests:
                digests[path] = _digest(path)
        what = [digests[content], digests[style], digests[settings.get("weights", "")]]
        text = json.dumps([what, settings, __version__], sort_keys=True)
        name = "--".join(pathlib.Path(path).stem for path in (content, style))
        name += f"--{hashlib.sha256(text.encode()).hexdigest()[:16]}.png"
        jobs[name] = Job(content, style, os.path.join(folder, name), settings)
    return list(jobs.values())


def find_images(pattern: str) -> list[str]:
    """The files in a folder, or those that a pattern matches, sorted.

    Raises:
      InputError: If there is none.
    """
    if os.path.isdir(pattern):
        paths = (os.path.join(pattern, name) for name in os.listdir(pattern))
        found = [path for path in paths if os.path.isfile(path)]
    else:
        found = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    if not found:
        raise InputError(f"{shown(pattern)} is no folder with files and matches none.")
    return sorted(found)


def read_manifest(path: str) -> list[tuple[str, str]]:
    """Pairs from a CSV file with the columns content and style, or JSON lines with these keys.

    Raises:
      InputError: If it is neither.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            if path.endswith(".csv"):
                rows = list(csv.DictReader(file))
            else:
                rows = [json.loads(line) for line in file if line.strip()]
        pairs = [(row["content"], row["style"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{shown(path)} is no manifest: {reason_of(error)}. Expected a .csv file with the columns "
            "content and style, or JSON lines with these keys"
        ) from error
    if not all(isinstance(path, str) and path for pair in pairs for path in pair) or not pairs:
        raise InputError(f"{shown(path)} names no pairs of files.")
    return pairs


def run_job(job: Job) -> dict[str, Any]:
    """Makes one picture, unless it is there.

    Returns:
      A record for the report: the job's paths, `status` ("made", "there" or "error"), `message`,
      `seconds` and `worker`, the host and process.
    """
    start = time.monotonic()
    record = {"content": job.content, "style": job.style, "output": job.output}
    status, message = "there", ""
    if not os.path.exists(job.output):
        try:
            status, message = "made", _make(job)
        except (InputError, TransferError) as error:
            status, message = "error", str(error)
    seconds = round(time.monotonic() - start, 3)
    worker = f"{platform.node()}:{os.getpid()}"
    return {**record, "status": status, "message": message, "seconds": seconds, "worker": worker}


def run_locally(jobs: Sequence[Job], num_workers: int) -> Iterator[dict[str, Any]]:
    """Runs jobs in processes of this machine; one that dies costs its job another try, no other.

    Yields:
      The records as they come.
    """
    # Forked, a process that has TensorFlow's threads would hang.
    context = multiprocessing.get_context("spawn")
    tries = {job.output: 0 for job in jobs}
    left = list(jobs)
    while left:
        # After a death, those that were under way go one at a time: so the guilty one is found out.
        suspects = any(tries[job.output] for job in left)
        again = []
        with concurrent.futures.ProcessPoolExecutor(
            1 if suspects else num_workers, mp_context=context
        ) as pool:
            futures = {pool.submit(run_job, job): job for job in left}
            for future in concurrent.futures.as_completed(futures):
                job = futures[future]
                try:
                    yield future.result()
                except concurrent.futures.process.BrokenProcessPool:
                    again.append(job)
        if again:
            # Of a broken pool all jobs come back, and only the first in order can have been at fault.
            for job in again[:num_workers]:
                tries[job.output] += 1
            for job in [job for job in again if tries[job.output] >= MAX_TRIES]:
                yield _given_up(job)
        left = [job for job in again if tries[job.output] < MAX_TRIES]


def run_on_ray(jobs: Sequence[Job], call: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Runs jobs on Ray's workers, which try one again whose process died.

    Args:
      jobs: The jobs; their files are on a disk that all workers see.
      call: As from `cluster.remote`.

    Yields:
      The records as they come.
    """
    import ray

    waiting = {call(run_job, job): job for job in jobs}
    while waiting:
        (done,), _ = ray.wait(list(waiting))
        job = waiting.pop(done)
        try:
            yield ray.get(done)
        except ray.exceptions.RayError:
            yield _given_up(job)


def _make(job: Job) -> str:
    from tf_style import image_files, isolated
    from tf_style.inputs import prepare
    from tf_style.settings import Settings

    inputs = prepare(job.content, [job.style], Settings(**job.settings), read=isolated.read)
    image_files.check_output(job.output, size=(inputs.height, inputs.width))
    from tf_style.transfer import StyleTransfer

    result = StyleTransfer(inputs).run()
    if result.status.is_failure:
        raise TransferError(f"No picture was made: {result.status.text}.")
    image_files.write(job.output, result.image, alpha=result.alpha)
    return f"loss {result.final.loss:.4g}, {len(result.evaluations)} evaluations"


def _given_up(job: Job) -> dict[str, Any]:
    return {
        "content": job.content,
        "style": job.style,
        "output": job.output,
        "status": "error",
        "message": f"its process died {MAX_TRIES} times",
        "seconds": 0.0,
        "worker": "",
    }


def _digest(path: str) -> str:
    """Of a file's bytes, or where there is none of its name, such as that of embedded weights."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return path
