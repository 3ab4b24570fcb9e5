"""Server-sent events: what changes, as it changes.

A browser opens such a stream again by itself, and one direction is all that is needed. Each event holds
the newest state, so that a slow reader skips what came between; losses are those since its last event.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from tf_style.web.run import Run
from tf_style.web.studio import Studio, summary

KEEP_ALIVE_SECONDS = 15.0


async def of_run(studio: Studio, run: Run) -> AsyncIterator[str]:
    """A run's state until it has ended."""
    told = _Told()
    with studio.subscription() as changed:
        while True:
            changed.clear()
            if (text := told.of(run)) is not None:
                yield text
            if run.has_ended or run.id not in studio.runs or studio.is_closing:
                return
            if not await _within(changed, KEEP_ALIVE_SECONDS):
                yield ":\n\n"


async def of_studio(studio: Studio) -> AsyncIterator[str]:
    """The queue's state, and that of the run under way, until the server ends."""
    told, version = {}, -1
    with studio.subscription() as changed:
        while not studio.is_closing:
            changed.clear()
            if studio.version != version:
                version = studio.version
                yield _event("studio", summary(studio))
            for run in [run for run in studio.runs.values() if run.state == "running"]:
                if (text := told.setdefault(run.id, _Told()).of(run)) is not None:
                    yield text
            if not await _within(changed, KEEP_ALIVE_SECONDS):
                yield ":\n\n"


class _Told:
    """What one reader knows of a run."""

    def __init__(self):
        self._version, self._last = -1, None

    def of(self, run: Run) -> str | None:
        """An event with what is new, or None."""
        if run.version == self._version:
            return None
        self._version = run.version
        losses = run.losses
        # By the last one that was told: the list is thinned now and then.
        start = losses.index(self._last) + 1 if self._last in losses else 0
        self._last = losses[-1] if losses else None
        return _event("run", {**run.as_dict(), "losses": losses[start:], "losses_anew": start == 0})


async def _within(changed: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(changed.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _event(name: str, value: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"
