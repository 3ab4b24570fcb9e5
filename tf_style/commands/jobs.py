"""Many pictures: jobs that can be repeated, on local processes or on Ray."""

import collections
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
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from tf_style._version import __version__
from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of, shown
from tf_style.transfer.settings import fields_with_files

# A job is given up when its process has died so often with no other job under way: a machine that ran
# out of memory once may not do so again.
MAX_DEATHS = 2
# Of the names of a picture's inputs in its own, bytes: file systems take 255 in all.
MAX_STEM_BYTES = 80


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to make.

    Attributes:
      content: Path of the content image.
      style: Path of the style image.
      output: Path of the picture, named after both and a hash of all that goes into it.
      settings: Fields of `Settings`.

    Paths are absolute, for workers elsewhere.
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

    def digest(path: str) -> str:
        if path not in digests:
            digests[path] = _digest(path)
        return digests[path]

    # Files of the settings count by what is in them.
    files = fields_with_files(settings)
    described = {**settings, **{name: digest(settings[name]) for name in files}}
    settings = {**settings, **{name: os.path.abspath(settings[name]) for name in files}}
    jobs = {}
    for content, style in pairs:
        what = [digest(content), digest(style), described, __version__]
        text = json.dumps(what, sort_keys=True)
        name = f"{_stem(content)}--{_stem(style)}--{hashlib.sha256(text.encode()).hexdigest()[:16]}.png"
        paths = (os.path.abspath(path) for path in (content, style, os.path.join(folder, name)))
        jobs[name] = Job(*paths, settings)
    return list(jobs.values())


def find_images(pattern: str) -> list[str]:
    """The files in a folder but for hidden ones, or those that a pattern matches, sorted.

    Raises:
      InputError: If there is none.
    """
    if os.path.isdir(pattern):
        names = (name for name in os.listdir(pattern) if not name.startswith("."))
        paths = (os.path.join(pattern, name) for name in names)
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
        # Spreadsheets begin a file with a mark of its encoding.
        with open(path, newline="", encoding="utf-8-sig") as file:
            if path.endswith(".csv"):
                rows = list(csv.DictReader(file))
            else:
                rows = [json.loads(line) for line in file if line.strip()]
        pairs = [(row["content"], row["style"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = f"a row has no {error}" if isinstance(error, KeyError) else reason_of(error)
        raise InputError(
            f"{shown(path)} is no manifest: {reason}. Expected a .csv file with the columns "
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
    status, message = "there", ""
    try:
        if not (os.path.isfile(job.output) and os.path.getsize(job.output)):
            status, message = "made", _make(job)
    except (InputError, TransferError) as error:
        status, message = "error", str(error)
    except Exception as error:  # Whatever it is, the other jobs go on.
        status, message = "error", f"{type(error).__name__}: {' '.join(str(error).split())}"
    seconds = round(time.monotonic() - start, 3)
    worker = f"{platform.node()}:{os.getpid()}"
    return _record(job, status, message, seconds, worker)


def run_locally(
    jobs: Sequence[Job], num_workers: int, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """Runs jobs in processes of this machine; one that dies costs its own job another try, no other.

    Args:
      jobs: The jobs.
      num_workers: How many processes.
      should_stop: When true no job is begun any more, and those under way are finished.

    Yields:
      The records as they come.
    """
    waiting, suspects = collections.deque(jobs), collections.deque()
    deaths: collections.Counter = collections.Counter()
    while (waiting or suspects) and not should_stop():
        # After a death those that were under way go one at a time: so the guilty one is found out.
        queue, width = (suspects, 1) if suspects else (waiting, num_workers)
        lost = yield from _run_until_a_death(queue, width, should_stop)
        if width > 1:
            suspects.extend(lost)
            continue
        for job in lost:
            deaths[job.output] += 1
            if deaths[job.output] < MAX_DEATHS:
                suspects.appendleft(job)
            else:
                yield _record(job, "error", f"its process died {MAX_DEATHS} times")


def _run_until_a_death(
    queue: collections.deque[Job], width: int, should_stop: Callable[[], bool]
) -> Generator[dict[str, Any], None, list[Job]]:
    """Runs jobs until a process dies, and returns those that were under way then."""
    # Forked, a process that has TensorFlow's threads would hang.
    context = multiprocessing.get_context("spawn")
    lost: list[Job] = []
    with concurrent.futures.ProcessPoolExecutor(
        width, mp_context=context, initializer=_leave_interrupts_to_the_parent
    ) as pool:
        under_way: dict[concurrent.futures.Future, Job] = {}
        while True:
            # No more than can be begun at once: whatever is under way when a process dies is suspect.
            while queue and len(under_way) < width and not (lost or should_stop()):
                try:
                    under_way[pool.submit(run_job, queue[0])] = queue[0]
                except concurrent.futures.process.BrokenProcessPool:
                    break  # An idle one died, and is nobody's fault.
                queue.popleft()
            if not under_way:
                return lost
            done, _ = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                job = under_way.pop(future)
                try:
                    yield future.result()
                except concurrent.futures.process.BrokenProcessPool:
                    lost.append(job)


def _leave_interrupts_to_the_parent() -> None:
    # A terminal sends Ctrl-C to all its processes; a picture under way is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_on_ray(
    jobs: Sequence[Job], call: Callable[..., Any], *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """Runs jobs on Ray's workers, which try one again whose process died.

    Args:
      jobs: The jobs; their files are on a disk that all workers see.
      call: As from `cluster.remote`.
      should_stop: When true no record is waited for any more.

    Yields:
      The records as they come.
    """
    import ray

    waiting = {call(run_job, job): job for job in jobs}
    while waiting and not should_stop():
        done, _ = ray.wait(list(waiting), timeout=1.0)
        for reference in done:
            job = waiting.pop(reference)
            try:
                yield ray.get(reference)
            except ray.exceptions.RayError as error:
                yield _record(job, "error", f"its worker failed: {' '.join(str(error).split())}")


def _make(job: Job) -> str:
    from tf_style import host
    from tf_style.commands import runner, sandbox
    from tf_style.images import writing
    from tf_style.transfer.prepare import prepare
    from tf_style.transfer.settings import Settings

    inputs = prepare(job.content, [job.style], Settings(**job.settings), read=sandbox.read)
    writing.check_output(job.output, size=(inputs.height, inputs.width))
    host.check_import()
    with runner.startup_noise_hidden():
        from tf_style.objective.tile_threads import ensure_inter_op_threads
        from tf_style.transfer import memory

        ensure_inter_op_threads()
        memory.check(inputs)
        from tf_style.transfer.transfer import StyleTransfer

        transfer = StyleTransfer(inputs)
    result = transfer.run()
    if result.status.is_failure:
        raise TransferError(f"No picture was made: {result.status.text}.")
    writing.write(job.output, result.image, alpha=result.alpha)
    return f"loss {result.final.loss:.4g}, {len(result.evaluations)} evaluations"


def _record(
    job: Job, status: str, message: str, seconds: float = 0.0, worker: str = ""
) -> dict[str, Any]:
    return {
        "content": job.content,
        "style": job.style,
        "output": job.output,
        "status": status,
        "message": message,
        "seconds": seconds,
        "worker": worker,
    }


def _stem(path: str) -> str:
    stem = pathlib.Path(path).stem.encode(errors="replace")
    return stem[:MAX_STEM_BYTES].decode(errors="ignore")


def _digest(path: str) -> str:
    """Of a file's bytes, or where there is no file of its name."""
    if not os.path.isfile(path):  # A pipe would wait for a writer.
        return path
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return path
