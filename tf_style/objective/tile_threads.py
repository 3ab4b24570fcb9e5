"""The threads that an evaluation by tiles takes."""

import os

import tensorflow as tf

# An evaluation by tiles is one operation that calls functions of others, and waits for them.
MIN_INTER_OP_THREADS = 2


def ensure_inter_op_threads() -> None:
    """Gives TensorFlow the inter-op threads that tiles take; for programs, before its first operation.

    On a machine of one core it would have one.
    """
    if num_inter_op_threads() < MIN_INTER_OP_THREADS:
        tf.config.threading.set_inter_op_parallelism_threads(MIN_INTER_OP_THREADS)


def num_inter_op_threads() -> int:
    """How many inter-op threads TensorFlow has or, before its first operation, will have."""
    configured = tf.config.threading.get_inter_op_parallelism_threads()
    in_environment = os.environ.get("TF_NUM_INTEROP_THREADS", "")
    if configured == 0 and in_environment.isdecimal():
        configured = int(in_environment)
    if configured == 0 and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return configured or os.cpu_count() or 1
