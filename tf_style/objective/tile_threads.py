"""The threads that an evaluation by tiles takes."""

import os

import tensorflow as tf

# An evaluation by tiles is one operation that calls functions of others, and waits for them.
MIN_INTER_OP_THREADS = 2


def ensure_inter_op_threads() -> None:
    """Makes TensorFlow run the operations at once that tiles need; for programs, before its first one.

    On a machine of one core it would run one at a time.
    """
    if num_inter_op_threads() < MIN_INTER_OP_THREADS:
        tf.config.threading.set_inter_op_parallelism_threads(MIN_INTER_OP_THREADS)


def num_inter_op_threads() -> int:
    """How many operations TensorFlow runs at once, as it decides that itself."""
    configured = tf.config.threading.get_inter_op_parallelism_threads()
    in_environment = os.environ.get("TF_NUM_INTEROP_THREADS", "")
    if configured == 0 and in_environment.isdecimal():
        configured = int(in_environment)
    if configured == 0 and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return configured or os.cpu_count() or 1
