"""The picture while it forms, for a screen: made beside the run, and no oftener than it can bear."""

import queue
import threading
import time
from collections.abc import Callable

import numpy as np

from tf_style.images import writing

EVERY_SECONDS = 0.5
SIDE_PX = 1024
# Of the run's time, what previews may take: where one takes longer, they are fewer.
SHARE = 0.02


class Previews:
    """Hands pictures to a thread that encodes them."""

    def __init__(self, send: Callable[[bytes], None]):
        """Starts the thread.

        Args:
          send: Takes each preview, a JPEG; called in that thread.
        """
        self._send = send
        self._due = 0.0
        self._cost = 0.0
        self._pictures: queue.Queue[np.ndarray] = queue.Queue(maxsize=1)
        threading.Thread(target=self._encode, daemon=True).start()

    def offer(self, read_image: Callable[[], np.ndarray]) -> None:
        """Makes a preview if one is due and the last one is done.

        Args:
          read_image: Gives the picture, float [height, width, 3] in 0..1.
        """
        now = time.monotonic()
        if now < self._due or self._pictures.unfinished_tasks:
            return
        start = time.thread_time()
        picture = read_image()
        cost = time.thread_time() - start + self._cost
        self._due = now + max(EVERY_SECONDS, cost / SHARE)
        self._pictures.put(picture)

    def first(self) -> None:
        """Lets the next one be due at once: a run begins."""
        self._due = 0.0

    def finish(self) -> None:
        """Waits until what was offered is sent."""
        self._pictures.join()

    def _encode(self) -> None:
        while True:
            picture = self._pictures.get()
            start = time.thread_time()
            try:
                self._send(writing.preview(picture, side_px=SIDE_PX))
            finally:
                self._cost = time.thread_time() - start
                self._pictures.task_done()
