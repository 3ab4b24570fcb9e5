"""Gram matrices and the style loss of one layer, with its gradient."""

import tensorflow as tf


def gram_matrix(features: tf.Tensor) -> tf.Tensor:
    """The Gram matrix G[i, j] = sum{ F[p, i] * F[p, j] : p } (equation 3), not normalised.

    Args:
      features: float32 or bfloat16 [batch, positions, channels] or [batch, height, width, channels].

    Returns:
      float32 [batch, channels, channels], accumulated in float32.
    """
    features = tf.cast(_flat(features), tf.float32)
    return tf.matmul(features, features, transpose_a=True)


def gram_loss(features: tf.Tensor, target: tf.Tensor, scale: float) -> tf.Tensor:
    """The style loss of one layer, scale * sum{ (G - target)**2 } (equation 4).

    Its gradient with respect to the features is 4 * scale * F (G - target): equation 6 without the
    rectification's zero, which comes from the network.

    Args:
      features: float32 or bfloat16 [batch, positions, channels] or [batch, height, width, channels].
      target: float32 [batch or 1, channels, channels], symmetric; no gradient flows to it.
      scale: The layer's weight and normalisation.

    Returns:
      float32 [batch].
    """

    @tf.custom_gradient
    def loss(features):
        flat = _flat(features)
        difference = gram_matrix(features) - target

        def gradient(upstream):
            factor = (4.0 * scale) * upstream[:, tf.newaxis, tf.newaxis]
            product = tf.matmul(flat, tf.cast(factor * difference, flat.dtype))
            return tf.reshape(product, tf.shape(features))

        return scale * tf.reduce_sum(tf.square(difference), axis=[1, 2]), gradient

    return loss(features)


def _flat(features: tf.Tensor) -> tf.Tensor:
    if features.shape.rank == 4:
        shape = tf.shape(features)
        return tf.reshape(features, [shape[0], shape[1] * shape[2], features.shape[3]])
    return features
