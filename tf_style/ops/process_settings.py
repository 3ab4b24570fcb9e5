"""The settings of the whole process under which TensorFlow and Keras do not do what is asked here.

Under all others the package works: it names its dtypes and data formats and holds no number that is
not finite, rather than rely on defaults that a host program may change.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tf_style.errors import InputError


def check_process_settings() -> None:
    """Refuses to go on under a setting that cannot work.

    Raises:
      InputError: It names the setting.
    """
    if problem := _problem():
        raise InputError(f"tf_style needs TensorFlow as version 2 has it by default: {problem}.")


@contextlib.contextmanager
def numerics_unchecked() -> Iterator[None]:
    """Keeps `tf.debugging.enable_check_numerics` from what compares with infinities of its own.

    That is TensorFlow Probability's line search: operations made here, eagerly or in a graph, are not
    checked.
    """
    # There is no public function that would suspend it.
    from tensorflow.python.eager import context

    current = context.context()
    before = current.invoking_op_callbacks
    current.invoking_op_callbacks = True
    try:
        yield
    finally:
        current.invoking_op_callbacks = before


def _problem() -> str:
    # The last two have no public functions that tell.
    from tensorflow.python.framework import ops

    if not tf.compat.v1.executing_eagerly_outside_functions():
        return (
            "leave out tf.compat.v1.disable_eager_execution() and disable_v2_behavior(), and call it "
            "outside of a tf.Graph"
        )
    if not isinstance(tf.TensorShape([1])[0], int):
        return "leave out tf.compat.v1.disable_v2_tensorshape()"
    if not tf.Tensor._USE_EQUALITY:
        return "leave out tf.compat.v1.disable_tensor_equality()"
    if ops.is_auto_dtype_conversion_enabled():
        return (
            "Keras's layers fail where NumPy behaviour converts dtypes; leave dtype_conversion_mode at "
            "its 'legacy'"
        )
    return ""
