"""Ray, where it is installed: tiles of one picture, or whole pictures, on many machines.

The bits do not depend on how many workers there are: results are taken in the tiles' order.
"""

import collections
import dataclasses
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from tf_style.errors import InputError
from tf_style.network.weights import Weights
from tf_style.objective.presets import Preset

# How often a task whose worker or node was lost is run again elsewhere.
MAX_RETRIES = 10
# Requests under way for each core, so that a worker finds the next one waiting.
WINDOW_PER_CORE = 2

Result = TypeVar("Result")


def connect(address: str) -> None:
    """Joins a cluster, unless this process is in one.

    Args:
      address: "local" for one of this machine alone, on loopback and without a dashboard; or the
        address of a cluster's head, such as "10.0.0.1:6379" or "auto".

    Raises:
      InputError: If Ray is not installed or no cluster answers.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray may miss a result's arrival until it polls again, by default after a whole second:
        # measured on two nodes, once or twice in an evaluation.
        os.environ.setdefault("RAY_get_check_signal_interval_milliseconds", "50")
        if address != "local" and _has_token():
            # Ray's head sets this itself; a driver that joins does not.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed: pip install 'tf-style[ray]'.") from error
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"No Ray cluster answers at {address!r}: {reason}. One that asks for a token takes its "
            "head's ~/.ray/auth_token here too."
        ) from error
    finally:
        # On the main thread Ray installs its own, which would end a run without its picture.
        if signal.getsignal(signal.SIGTERM) is not handler:
            signal.signal(signal.SIGTERM, handler)


def _has_token() -> bool:
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return True
    return os.path.isfile(os.path.expanduser("~/.ray/auth_token"))


def remote(*, num_gpus: float = 0) -> Callable[..., Any]:
    """What runs functions as tasks on the cluster's workers, a core each.

    Args:
      num_gpus: That each task takes.

    Returns:
      From a function and its arguments, all of which are pickled, to a Ray reference to its result.
    """
    import ray

    # A worker has one core, and TensorFlow would take them all. An evaluation by tiles calls functions
    # from within an operation: with one thread for both it would deadlock.
    threads = {"env_vars": {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2"}}

    @ray.remote(max_retries=MAX_RETRIES, num_cpus=1, num_gpus=num_gpus, runtime_env=threads)
    def call(function: Callable, *arguments: Any) -> Any:
        return function(*arguments)

    return call.remote


class RayPool:
    """Computes tiles on a cluster's workers; a `TilePool`.

    Each request is a task of its own, with its tile's pixels: Ray gives it to whichever worker is
    free, one that joined later too, and gives it to another where one is lost.
    """

    def __init__(
        self,
        preset: Preset,
        weights: Weights,
        precision: str,
        num_guides: int = 0,
        *,
        has_content_weights: bool = False,
    ):
        """Sends out the weights, once.

        Args:
          preset: The objective.
          weights: Of the layers that it needs.
          precision: Of the network.
          num_guides: As for `TileWorker`.
          has_content_weights: As for `TileWorker`.
        """
        import ray

        # On GPUs where the cluster has any, whatever this process runs on.
        self._call = remote(num_gpus=1 if ray.cluster_resources().get("GPU") else 0)
        self._spec = _WorkerSpec(preset, precision, num_guides, has_content_weights, ray.put(weights))

    def map(self, method: Callable[..., Result], requests: Iterable[tuple]) -> Iterable[Result]:
        """As in `TilePool`."""
        import ray

        pending: collections.deque = collections.deque()
        for request in requests:
            pending.append(self._call(_compute, self._spec, method, request))
            # Asked each time: workers may have joined.
            window = WINDOW_PER_CORE * int(ray.cluster_resources().get("CPU", 1))
            while len(pending) >= max(1, window):
                yield ray.get(pending.popleft())
        while pending:
            yield ray.get(pending.popleft())


@dataclasses.dataclass(frozen=True)
class _WorkerSpec:
    """What a worker builds its network from.

    Attributes:
      preset: The objective.
      precision: Of the network.
      num_guides: As for `TileWorker`.
      has_content_weights: As for `TileWorker`.
      weights: A reference to them. Were it an argument of the tasks itself, Ray would fetch the weights
        for each task; wrapped in an object it is passed on as it is, and `_compute` fetches them when
        it builds a network.
    """

    preset: Preset
    precision: str
    num_guides: int
    has_content_weights: bool
    weights: Any


# The last one that was built, by what from: the tasks of one run that a worker gets are of one spec.
_worker: dict[tuple, Any] = {}


def _compute(spec: _WorkerSpec, method: Callable[..., Result], request: tuple) -> Result:
    """On a worker: builds the network at the first request, and computes one tile."""
    import ray
    import tensorflow as tf

    from tf_style.network.features import Features
    from tf_style.objective.tile_worker import TileWorker

    tf.config.experimental.enable_tensor_float_32_execution(False)  # As in the program.

    # The reference's name and not itself, which would keep the weights on the cluster.
    key = (
        *(spec.preset, spec.precision, spec.num_guides, spec.has_content_weights),
        spec.weights.hex(),
    )
    if key not in _worker:
        _worker.clear()
        features = Features(spec.preset, ray.get(spec.weights), precision=spec.precision)
        _worker[key] = TileWorker(
            features,
            spec.preset,
            spec.num_guides,
            has_content_weights=spec.has_content_weights,
        )
    return method(_worker[key], *request)
