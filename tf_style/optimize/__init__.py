"""Minimisers of a function of one tf.Variable, by name."""

import tensorflow as tf

from tf_style.optimize import probability
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
    history: int = 10,
    pair_dtype: tf.DType = tf.float32,
) -> Minimizer:
    """Makes a minimiser of a function of a picture; both L-BFGS are preconditioned.

    Args:
      name: "lbfgs", "tfp" or "adam".
      evaluate: From a position to the loss, a scalar, and its gradient, shaped as the position.
      position: Where to start, float32 [batch, height, width, 3], perhaps of any height and width;
        updated in place.
      history: As for `Lbfgs`; Adam has none.
      pair_dtype: As for `Lbfgs`; the others have no choice.

    Returns:
      The minimiser; nothing is evaluated yet.

    Raises:
      InputError: If it needs TensorFlow Probability, which does not work here.
    """
    if name == "adam":
        return Adam(evaluate, position)
    probability.check()
    if name == "tfp":
        root = fourier_preconditioner(square_root=True)
        return TfpLbfgs(evaluate, position, history=history, preconditioner_root=root)
    return Lbfgs(
        evaluate,
        position,
        history=history,
        pair_dtype=pair_dtype,
        initial_inverse_hessian=fourier_preconditioner(),
    )
