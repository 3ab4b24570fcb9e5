"""The routes of the studio: its page, and the JSON under it."""

import asyncio
import contextlib
import json
import math
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from tf_style._version import __version__
from tf_style.errors import InputError, TransferError
from tf_style.files import reason_of
from tf_style.web import asked as asking
from tf_style.web import events, security
from tf_style.web.run import Run
from tf_style.web.store import (
    EXAMPLES,
    MAX_UPLOAD_BYTES,
    MAX_UPLOAD_PIXELS,
    NotFoundError,
    QuotaError,
)
from tf_style.web.studio import EndedError, QueueFullError, Studio, summary

MAX_STREAMS = 200
# Uploads that arrive at once.
MAX_ARRIVING = 16
# Within which some of a body comes, and all of it.
STALLED_SECONDS = 20.0
ARRIVAL_SECONDS = 600.0
_STATIC = pathlib.Path(__file__).parent / "static"
_STATUS = {NotFoundError: 404, EndedError: 409, QueueFullError: 429, QuotaError: 507}


def make_app(
    studio: Studio, token: str, *, hosts: Collection[str] = (), any_address: bool = False
) -> security.Guard:
    """The application.

    Args:
      studio: What it shows; it is served as long as the application is.
      token: Of the address.
      hosts: As for `security.Guard`.
      any_address: Likewise.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        serving = asyncio.create_task(studio.serve())
        yield
        await studio.close()
        await serving

    app = Starlette(
        routes=_Routes(studio).routes(),
        lifespan=lifespan,
        exception_handlers={InputError: _refuse, TransferError: _fail, HTTPException: _http_error},
    )
    return security.Guard(app, token=token, hosts=hosts, any_address=any_address)


async def _refuse(request: Request, error: Exception) -> Response:
    return security.refused(_STATUS.get(type(error), 400), str(error))


async def _fail(request: Request, error: Exception) -> Response:
    return security.refused(500, str(error))


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


class _Routes:
    """What is answered."""

    def __init__(self, studio: Studio):
        self._studio, self._store = studio, studio.store
        self._num_arriving = 0
        self._num_streams = 0

    def routes(self) -> list[Route | Mount]:
        """All."""
        return [
            Route("/", self.page),
            Mount("/static", StaticFiles(directory=_STATIC)),
            Route("/studio", self.studio),
            Route("/events", self.studio_events),
            Route("/uploads", self.upload, methods=["POST"]),
            Route("/uploads/{key}/preview", self.upload_preview),
            Route("/runs", self.runs),
            Route("/runs", self.start, methods=["POST"]),
            Route("/runs/{run}", self.run),
            Route("/runs/{run}", self.delete, methods=["DELETE"]),
            Route("/runs/{run}/stop", self.stop, methods=["POST"]),
            Route("/runs/{run}/events", self.run_events),
            Route("/runs/{run}/preview", self.run_preview),
            Route("/runs/{run}/picture", self.picture),
        ]

    async def page(self, request: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    async def studio(self, request: Request) -> Response:
        """What there is to choose from, and where things stand."""
        examples = [
            {**self._store.find(f"example-{name}").as_dict(), "role": role}
            for name, role in EXAMPLES.items()
        ]
        used = await asyncio.to_thread(self._store.used_bytes)
        return JSONResponse(
            {
                **summary(self._studio),
                "release": __version__,
                "examples": examples,
                "settings": asking.settings_for_page(has_students=bool(self._store.students)),
                "students": {name: each.as_dict() for name, each in self._store.students.items()},
                "presets": asking.presets_for_page(),
                "folder": str(self._store.folder),
                "used_bytes": used,
                "quota_bytes": self._store.quota_bytes,
                "max_upload_bytes": MAX_UPLOAD_BYTES,
                "max_upload_pixels": MAX_UPLOAD_PIXELS,
            }
        )

    async def upload(self, request: Request) -> Response:
        """Takes one file, the body as it is."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not (kind.startswith("image/") or kind == "application/octet-stream"):
            raise HTTPException(415, "An upload is the file itself, as image/... of any kind.")
        if self._num_arriving >= MAX_ARRIVING:
            raise HTTPException(429, f"{MAX_ARRIVING} uploads are arriving: wait for one of them.")
        self._num_arriving += 1
        try:
            with self._store.incoming() as path:
                await asyncio.to_thread(self._store.check_room, _length(request, MAX_UPLOAD_BYTES))
                with open(path, "wb") as file:
                    async for chunk in _limited(request, MAX_UPLOAD_BYTES):
                        file.write(chunk)
                async with self._studio.decoding:
                    # Again: others came meanwhile, and not each says how long it is.
                    await asyncio.to_thread(self._store.check_room)
                    upload = await asyncio.to_thread(
                        self._store.add,
                        path,
                        request.query_params.get("name", ""),
                        is_mask=request.query_params.get("kind") == "mask",
                    )
        finally:
            self._num_arriving -= 1
        return JSONResponse(upload.as_dict(), 201)

    async def upload_preview(self, request: Request) -> Response:
        upload = await asyncio.to_thread(self._store.find, request.path_params["key"])
        return _jpeg(self._store.preview(upload))

    async def runs(self, request: Request) -> Response:
        runs = [_shown(run) for run in self._studio.runs.values()]
        return JSONResponse({"runs": [{**run, "losses": []} for run in runs]})

    async def start(self, request: Request) -> Response:
        run = await self._studio.start(await _json(request))
        return JSONResponse(_shown(run), 201, headers={"location": f"/runs/{run.id}"})

    async def run(self, request: Request) -> Response:
        return JSONResponse(_shown(self._run(request)))

    async def delete(self, request: Request) -> Response:
        self._studio.delete(self._run(request).id)
        return Response(status_code=204)

    async def stop(self, request: Request) -> Response:
        run = self._run(request)
        self._studio.stop(run.id)
        return JSONResponse(_shown(run), 202)

    async def studio_events(self, request: Request) -> Response:
        return self._stream(events.of_studio(self._studio))

    async def run_events(self, request: Request) -> Response:
        return self._stream(events.of_run(self._studio, self._run(request)))

    async def run_preview(self, request: Request) -> Response:
        return _jpeg(self._studio.kept.preview(self._run(request)))

    async def picture(self, request: Request) -> Response:
        run = self._run(request)
        if not run.has_picture:
            raise NotFoundError(f"There is no picture of run {run.id} yet.")
        path = self._store.run_folder(run.id) / "picture.png"
        name = f"stylized-{run.id}.png"
        return FileResponse(path, media_type="image/png", filename=name)

    def _run(self, request: Request) -> Run:
        return self._studio.find(request.path_params["run"])

    def _stream(self, lines: AsyncIterator[str]) -> Response:
        if self._num_streams >= MAX_STREAMS:
            raise HTTPException(503, f"{MAX_STREAMS} event streams are open: close one.")

        self._num_streams += 1
        return _Stream(lines, self._stream_ended)

    def _stream_ended(self) -> None:
        self._num_streams -= 1


class _Stream(StreamingResponse):
    """Server-sent events, whose end is told also where none was ever sent."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncIterator[str], ended: Callable[[], None]):
        super().__init__(lines)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


def _length(request: Request, max_bytes: int) -> int:
    """The length of a body as it is announced, 0 where it is not."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > max_bytes:
        raise _too_long(max_bytes)
    return int(length)


def _too_long(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"A body is {max_bytes} bytes at most.")


async def _limited(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """A body, as far as it is allowed, in the time that is allowed."""
    _length(request, max_bytes)
    total, stream = 0, request.stream()
    end = time.monotonic() + ARRIVAL_SECONDS
    try:
        while True:
            async with asyncio.timeout(min(STALLED_SECONDS, end - time.monotonic())):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            total += len(chunk)
            if total > max_bytes:
                raise _too_long(max_bytes)
            yield chunk
    except ClientDisconnect:
        raise HTTPException(400, "The body broke off.") from None
    except TimeoutError:
        raise HTTPException(408, "The body did not come in time.") from None


async def _json(request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "A run is asked for as application/json.")
    body = b"".join([chunk async for chunk in _limited(request, security.MAX_JSON_BYTES)])
    try:
        value = json.loads(
            body.decode(), parse_constant=_number, parse_int=_whole_number, parse_float=_number
        )
        json.dumps(value, ensure_ascii=False).encode()  # Half of a surrogate pair is no text.
    except (ValueError, RecursionError) as error:
        raise InputError(f"The body is no JSON that can be used: {reason_of(error)}.") from None
    return value


def _number(text: str) -> float:
    """A number, of those that a float can be: NaN is no JSON, and 1e400 would be infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _whole_number(text: str) -> int:
    _number(text)
    return int(text)


def _shown(run: Run) -> dict[str, Any]:
    return run.as_dict()


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg")
