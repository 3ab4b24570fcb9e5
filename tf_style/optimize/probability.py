"""What is used of TensorFlow Probability, imported at the first need.

That takes most of a second, and many a run needs none.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from tf_style.errors import InputError


class Parts(NamedTuple):
    """What is used of it.

    Attributes:
      lbfgs_minimize: Its L-BFGS.
      hager_zhang: Its line search.
      LbfgsResults: The namedtuple of its L-BFGS's state.
    """

    lbfgs_minimize: Callable[..., Any]
    hager_zhang: Callable[..., Any]
    LbfgsResults: Any


def check() -> None:
    """Refuses to begin what may need it where it cannot be imported.

    Raises:
      InputError: Under `python -OO`, for it adds to its docstrings, which are not there then.
    """
    if sys.flags.optimize > 1:
        raise InputError(
            "TensorFlow Probability, which L-BFGS searches by, does not work under python -OO (or "
            "PYTHONOPTIMIZE=2): use -O, or optimizer 'adam'."
        )


def parts() -> Parts:
    """Its parts; what it warns of when it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow_probability.python.optimizer import lbfgs_minimize, linesearch
        from tensorflow_probability.python.optimizer.lbfgs import LBfgsOptimizerResults

    return Parts(lbfgs_minimize, linesearch.hager_zhang, LBfgsOptimizerResults)
