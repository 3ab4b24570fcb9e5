"""Who computes tiles: the interface, and this process."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import tensorflow as tf

from tf_style.errors import InputError
from tf_style.objective.tile_threads import MIN_INTER_OP_THREADS, num_inter_op_threads
from tf_style.objective.tile_worker import TileWorker

Result = TypeVar("Result")


class TilePool(Protocol):
    """Who computes tiles."""

    def map(self, method: Callable[..., Result], requests: Iterable[tuple]) -> Iterable[Result]:
        """Calls a method of a `TileWorker` for each request.

        Args:
          method: Of the class, such as `TileWorker.style_sums`: the pool has the workers.
          requests: Its arguments, a tuple a call.

        Returns:
          The results, in the requests' order.
        """
        ...


class LocalPool:
    """This process, one tile after the other: each uses all the cores."""

    def __init__(self, worker: TileWorker, device: str | None = None):
        """Takes the worker and the device.

        Args:
          worker: What computes.
          device: For it; None for TensorFlow's choice.

        Raises:
          InputError: If TensorFlow runs one operation at a time: an evaluation would deadlock.
        """
        if num_inter_op_threads() < MIN_INTER_OP_THREADS:
            raise InputError(
                f"Tiles take {MIN_INTER_OP_THREADS} inter-op threads, and TensorFlow has 1 here. Call "
                f"tf.config.threading.set_inter_op_parallelism_threads({MIN_INTER_OP_THREADS}) first."
            )
        self._worker = worker
        self._device = device

    def map(self, method: Callable[..., Result], requests: Iterable[tuple]) -> Iterable[Result]:
        """As in `TilePool`."""
        for request in requests:
            # Evaluations call this on a thread of TensorFlow's, to which no tf.device outside reaches.
            with tf.device(self._device):
                result = method(self._worker, *request)
            yield result
