"""Who computes tiles in this process, and the threads that takes."""

from collections.abc import Iterable
from typing import Any, Protocol

import tensorflow as tf

from tf_style.errors import InputError
from tf_style.objective.tile_threads import MIN_INTER_OP_THREADS, num_inter_op_threads
from tf_style.objective.tile_worker import TileWorker


class TilePool(Protocol):
    """Who computes tiles."""

    def map(self, method: str, requests: Iterable[tuple]) -> Iterable[Any]:
        """The results of a `TileWorker`'s method for each request, in the requests' order."""
        ...


class LocalPool:
    """This process, one tile after the other: each uses all the cores."""

    def __init__(self, worker: TileWorker, device: str | None = None):
        """Takes the worker and the device.

        Args:
          worker: What computes.
          device: For it; None for TensorFlow's choice.

        Raises:
          InputError: If TensorFlow runs one operation at a time: an evaluation would wait for ever.
        """
        if num_inter_op_threads() < MIN_INTER_OP_THREADS:
            raise InputError(
                f"Tiles take {MIN_INTER_OP_THREADS} inter-op threads, and TensorFlow has 1 here. Call "
                f"tf.config.threading.set_inter_op_parallelism_threads({MIN_INTER_OP_THREADS}) first."
            )
        self._worker = worker
        self._device = device

    def map(self, method: str, requests: Iterable[tuple]) -> Iterable[Any]:
        """As in `TilePool`."""
        for request in requests:
            # Evaluations call this on a thread of TensorFlow's, to which no tf.device outside reaches.
            with tf.device(self._device):
                result = getattr(self._worker, method)(*request)
            yield result
