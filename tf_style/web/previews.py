"""The picture while it forms, for a screen: made beside the run, and no oftener than it can bear."""

import time
from collections.abc import Callable
from concurrent import futures

import numpy as np

from tf_style.commands.messages import emit
from tf_style.errors import InputError
from tf_style.files import reason_of
from tf_style.images import writing

EVERY_SECONDS = 0.5
SIDE_PX = 1024
# Of the run's time, what previews may take: where one takes longer, they are fewer.
SHARE = 0.02


class Previews:
    """Hands pictures to a thread that encodes them. One that cannot be made is a warning, no more."""

    def __init__(self, send: Callable[[bytes], None]):
        """Starts with none.

        Args:
          send: Takes each preview, a JPEG; called in that thread.
        """
        self._send = send
        self._due = 0.0
        self._cost = 0.0
        self._thread = futures.ThreadPoolExecutor(1, "previews")
        self._under_way: futures.Future[None] | None = None

    def offer(self, read_image: Callable[[], np.ndarray]) -> None:
        """Makes a preview if one is due and the last one is done.

        Args:
          read_image: Gives the picture, float [height, width, 3] in 0..1.
        """
        now = time.monotonic()
        if now < self._due or (self._under_way is not None and not self._under_way.done()):
            return
        self.finish()
        start = time.thread_time()
        try:
            picture = read_image()
        except (InputError, MemoryError) as error:
            _warn(error)
            self._due = now + EVERY_SECONDS
            return
        cost = time.thread_time() - start + self._cost
        self._due = now + max(EVERY_SECONDS, cost / SHARE)
        self._under_way = self._thread.submit(self._encode, picture)

    def first(self) -> None:
        """Lets the next one be due at once: a run begins."""
        self._due = 0.0

    def last(self, read_image: Callable[[], np.ndarray]) -> None:
        """Makes one of the picture that a run ended with."""
        self.finish()
        self.first()
        self.offer(read_image)
        self.finish()

    def finish(self) -> None:
        """Waits until what was offered is sent, or has failed."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None and (error := under_way.exception()) is not None:
            _warn(error)

    def _encode(self, picture: np.ndarray) -> None:
        start = time.thread_time()
        try:
            self._send(writing.preview(picture, side_px=SIDE_PX))
        finally:
            self._cost = time.thread_time() - start


def _warn(error: BaseException) -> None:
    emit(f"A preview was not made: {type(error).__name__}: {reason_of(error)}", "warning")
