"""Minimisers of a function of one tf.Variable, by name."""

import tensorflow as tf

from tf_style.optimize.adam import Adam
from tf_style.optimize.lbfgs import Lbfgs
from tf_style.optimize.minimizer import Evaluate, Minimizer
from tf_style.optimize.preconditioner import fourier_preconditioner
from tf_style.optimize.tfp_lbfgs import TfpLbfgs


def make_minimizer(
    name: str,
    evaluate: Evaluate,
    position: tf.Variable,
    *,
    num_pairs: int = 10,
    pair_dtype: tf.DType = tf.float32,
) -> Minimizer:
    """Makes an optimiser.

    Args:
      name: "lbfgs", "tfp" or "adam".
      evaluate: From a position to the loss and its gradient.
      position: Where to start, [batch, height, width, channels]; updated in place.
      num_pairs: As for `Lbfgs`; Adam has none.
      pair_dtype: As for `Lbfgs`; the others have no choice.

    Returns:
      The optimiser; nothing is evaluated yet.
    """
    if name == "adam":
        return Adam(evaluate, position)
    if name == "tfp":
        return TfpLbfgs(evaluate, position, num_pairs=num_pairs)
    return Lbfgs(
        evaluate,
        position,
        num_pairs=num_pairs,
        pair_dtype=pair_dtype,
        initial_inverse_hessian=fourier_preconditioner(*position.shape[1:3]),
    )
