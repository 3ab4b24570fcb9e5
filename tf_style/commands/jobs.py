"""Many pictures: jobs that can be repeated, on local processes or on Ray."""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import pathlib
import platform
import signal
import time
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tf_style import files, host
from tf_style.commands import records, student_picture, stylize_run
from tf_style.commands.pairs import Pair
from tf_style.commands.request import Request, absolute_files
from tf_style.errors import InputError, TransferError
from tf_style.images import writing
from tf_style.student.stored import json_path
from tf_style.transfer.settings import Settings, fields_with_files

# Two, for a machine that ran out of memory once may not do so again.
MAX_DEATHS = 2
# Of each input's name in its picture's; file systems take 255 in all.
MAX_STEM_BYTES = 80


def make_jobs(
    pairs: Iterable[Sequence[Any]],
    folder: str | os.PathLike,
    settings: Settings,
    *,
    given: Collection[str] | None = None,
    student: str | None = None,
) -> list[Request]:
    """The jobs of pairs of images.

    Args:
      pairs: Each as for `Pair`.
      folder: Where the pictures go.
      settings: Of all of them.
      given: As for `Request.make`.
      student: Of all of them, as of `Request`.

    Returns:
      A request for each different pair, in order, with absolute paths, for workers elsewhere. Its
      output is named after both images and a hash of all that goes into the picture. What cannot be
      read has a name too, and fails when its turn comes.

    Raises:
      InputError: If the settings contradict each other.
    """
    digest = functools.cache(_digest)
    settings = absolute_files(settings)
    jobs = {}
    for pair in itertools.starmap(Pair, pairs):
        part = {"style_part": pair.style_part} if pair.style_part else {}
        try:
            job = Request.make(
                *(os.path.abspath(pair.content), records.absolute(pair.styles), ""),
                dataclasses.replace(settings, **part),
                content_mask=records.absolute(pair.content_mask),
                style_mask=records.absolute(pair.style_mask),
                blend_mask=records.absolute(pair.blend_mask),
                strength_mask=records.absolute([pair.strength_mask])[0],
                student=records.absolute([student])[0],
                given=None if given is None else {*given, *part},
            )
        except InputError as error:
            raise InputError(f"{pair.shown()}: {error}") from error
        what = records.as_dict(job)
        del what["format"]  # Another form of the same request makes the same picture.
        what |= {name: digest(what[name]) for name in ("content", "strength_mask")}
        what |= {name: [digest(path) for path in what[name]] for name in records.LISTS}
        what["student"] = None if student is None else digest(str(json_path(student)))
        # Files of the settings count by what is in them.
        what |= {name: digest(what[name]) for name in fields_with_files(what)}
        hashed = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        by = pair.styles if pair.styles or student is None else (student,)
        stems = _stem(pair.content), "+".join(_stem(style) for style in by if style)
        name = f"{'--'.join(map(_shortened, stems))}--{hashed}.png"
        jobs[name] = dataclasses.replace(job, output=os.path.abspath(os.path.join(folder, name)))
    return list(jobs.values())


def run_job(job: Request) -> dict[str, Any]:
    """Makes one picture, unless it is there.

    Returns:
      A record for the report: the job's paths, `status` ("made", "there" or "error"), `message`,
      `seconds`, `worker`, the host and process, and `warnings`, each on one line.
    """
    start = time.monotonic()
    status, message = "there", ""
    with warnings.catch_warnings(record=True) as caught:
        # A process makes many pictures; by default it would warn of the first one's file alone.
        warnings.simplefilter("always", UserWarning)
        try:
            if not (os.path.isfile(job.output) and os.path.getsize(job.output)):
                status, message = "made", _make(job)
        except (InputError, TransferError) as error:
            status, message = "error", str(error)
        except Exception as error:  # Whatever it is, the other jobs go on.
            status, message = "error", f"{type(error).__name__}: {' '.join(str(error).split())}"
    seconds = round(time.monotonic() - start, 3)
    worker = f"{platform.node()}:{os.getpid()}"
    told = [" ".join(str(each.message).split()) for each in caught]
    return _record(job, status, message, seconds, worker, told)


def run_locally(
    jobs: Sequence[Request], num_workers: int, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """Runs jobs in processes of this machine; one that dies costs its own job another try, no other.

    A process that dies breaks its pool, and does not tell which job it had: all that were under way are
    suspects. Each suspect runs again in a pool of its own, where a death can only be its own. After
    `MAX_DEATHS` of those it is given up; one that survives is done. Then the jobs that wait go on in
    `num_workers` processes.

    Args:
      jobs: The jobs.
      num_workers: How many processes.
      should_stop: When true no job is begun any more, and those under way are finished.

    Yields:
      The records as they come.
    """
    waiting, suspects = collections.deque(jobs), collections.deque()
    deaths: collections.Counter[str] = collections.Counter()
    while (waiting or suspects) and not should_stop():
        queue, width = (suspects, 1) if suspects else (waiting, num_workers)
        interrupted = yield from _run_until_a_death(queue, width, should_stop)
        if width > 1:
            suspects.extend(interrupted)
            continue
        for job in interrupted:
            deaths[job.output] += 1
            if deaths[job.output] < MAX_DEATHS:
                suspects.appendleft(job)
            else:
                yield _record(job, "error", f"its process died {MAX_DEATHS} times")


def _run_until_a_death(
    queue: collections.deque[Request], width: int, should_stop: Callable[[], bool]
) -> Generator[dict[str, Any], None, list[Request]]:
    """Runs jobs in a pool until the queue is empty or a process dies.

    Args:
      queue: The jobs, of which those that are begun are taken.
      width: Processes, and jobs under way at once at most.
      should_stop: As for `run_locally`.

    Yields:
      The records as they come.

    Returns:
      The jobs that were under way when a process died.
    """
    # Forked, a process that has TensorFlow's threads would hang.
    context = multiprocessing.get_context("spawn")
    interrupted: list[Request] = []
    with concurrent.futures.ProcessPoolExecutor(
        width, mp_context=context, initializer=_begin_worker, initargs=(width,)
    ) as pool:
        under_way: dict[concurrent.futures.Future, Request] = {}
        while True:
            # Never more than processes: a job that only waits in the pool would be suspected too.
            while queue and len(under_way) < width and not (interrupted or should_stop()):
                try:
                    under_way[pool.submit(run_job, queue[0])] = queue[0]
                except BrokenProcessPool:
                    break  # An idle process died, which is no job's fault.
                queue.popleft()
            if not under_way:
                return interrupted
            done, _ = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                job = under_way.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    interrupted.append(job)


def _begin_worker(num_workers: int) -> None:
    host.share_among(num_workers)
    # A terminal sends Ctrl-C to all its processes; a picture under way is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Or the first of several would take all memory of the GPU that they share.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def run_on_ray(
    jobs: Sequence[Request],
    call: Callable[..., Any],
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[dict[str, Any]]:
    """Runs jobs on Ray's workers, which try one again whose process died.

    Args:
      jobs: The jobs; their files are on a disk that all workers see.
      call: As from `ray_pool.remote`.
      should_stop: When true no record is waited for any more.

    Yields:
      The records as they come.
    """
    import ray
    from ray.exceptions import RayError

    waiting = {call(run_job, job): job for job in jobs}
    while waiting and not should_stop():
        done, _ = ray.wait(list(waiting), timeout=1.0)
        for reference in done:
            job = waiting.pop(reference)
            try:
                yield ray.get(reference)
            except RayError as error:
                yield _record(job, "error", f"its worker failed: {' '.join(str(error).split())}")


def _make(job: Request) -> str:
    if job.is_by_student:
        prepared = student_picture.Job.prepare(job)
        prepared.write(prepared.render(_student(job)))
        return "by the student"
    inputs = stylize_run.prepare_inputs(job)
    transfer = stylize_run.make_transfer(job, inputs, like=_last.pop() if _last else None)
    result = transfer.run()
    transfer.rest()
    _last.append(transfer)
    if result.final is None or result.status.is_failure:
        raise TransferError(f"No picture was made: {result.status.text}.")
    writing.write(job.output, result.image, alpha=result.alpha)
    return f"loss {result.final.loss:.4g}, {len(result.evaluations)} evaluations"


# The last transfer of a process that makes many pictures: the next goes on with its graphs.
_last: list[Any] = []
_students: dict[tuple[str, ...], Any] = {}


def _student(job: Request) -> Any:
    """The student of a job, built once in a process that makes many pictures by it."""
    settings = job.settings
    digest = files.sha256(json_path(job.student or ""))
    key = (digest, settings.precision, settings.device or "")
    if key not in _students:
        _students.clear()
        _students[key] = student_picture.load(job)
    return _students[key]


def _record(
    job: Request,
    status: str,
    message: str,
    seconds: float = 0.0,
    worker: str = "",
    told: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "content": job.content,
        "style": job.styles[0] if len(job.styles) == 1 else list(job.styles),
        "output": job.output,
        "status": status,
        "message": message,
        "seconds": seconds,
        "worker": worker,
        "warnings": list(told),
    }


def _stem(path: str) -> str:
    return pathlib.Path(path).stem


def _shortened(name: str) -> str:
    return name.encode(errors="replace")[:MAX_STEM_BYTES].decode(errors="ignore")


def _digest(path: str | None) -> str | None:
    """SHA-256 of a file's bytes; where there is no file that can be read, its path."""
    if path is None:
        return None
    try:
        return files.sha256(path) if os.path.isfile(path) else path  # A pipe would wait for a writer.
    except InputError:
        return path
