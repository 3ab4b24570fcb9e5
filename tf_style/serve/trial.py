"""What an export is tried on before it is put in place, and what warms a server up."""

import itertools
import re

import tensorflow as tf

from tf_style.embed.stylizer import Stylizer
from tf_style.embed.working_sizes import require
from tf_style.errors import InputError
from tf_style.network.architecture import min_side_px
from tf_style.serve.signatures import Signatures


def small_side(stylizer: Stylizer) -> int:
    """The side of a small square picture that can be made in the export's own styles.

    Raises:
      InputError: If not even one of the working size can, as a style is too narrow: then no request
        could be met.
    """
    styles = [tf.shape(style)[1:3] for style in stylizer.own_styles]
    for doublings in itertools.count(1):
        side = min(2**doublings * min_side_px(stylizer.preset.layers), stylizer.size)
        size = tf.constant([side, side])
        try:
            require(stylizer.sizes.requirements(size, styles, stylizer.settings.iterations))
        except InputError:
            if side == stylizer.size:
                raise
        else:
            return side


def make_one(signatures: Signatures, side: int) -> None:
    """Makes a small square picture, by one iteration of the graph that the signatures share.

    Raises:
      InputError: If that fails, as every request would.
    """
    contents = tf.random.stateless_uniform([1, side, side, 3], [0, 0], 0.0, 255.0)
    try:
        signatures.optimized(contents, signatures.own_styles(), 1)
    except tf.errors.InvalidArgumentError as error:
        # TensorFlow says first, over many lines, where in the graph it was.
        found = re.search(r"assertion failed: \[(.*?)\]", error.message)
        reason = found[1] if found else error.message.splitlines()[-1]
        raise InputError(f"Every request to the export would fail: {reason}.") from error
