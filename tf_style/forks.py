"""Whether this process was forked from one in which TensorFlow ran: its threads are not here then."""

import os
import sys

from tf_style.errors import InputError

_forked_from_running = False


def check_not_forked() -> None:
    """Refuses to compute where TensorFlow would wait for its threads for ever.

    Raises:
      InputError: If TensorFlow ran in a process from which this one was forked.
    """
    if _forked_from_running:
        raise InputError(
            "TensorFlow cannot run in a process that was forked after it had run: fork before its "
            "first operation, or start processes by multiprocessing's 'spawn' or 'forkserver'."
        )


def _after_fork() -> None:
    global _forked_from_running
    # There is no public function that tells whether TensorFlow has started; importing it does not.
    module = sys.modules.get("tensorflow.python.eager.context")
    context = getattr(module, "_context", None)
    _forked_from_running |= getattr(context, "_context_handle", None) is not None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
