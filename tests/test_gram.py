"""The Gram matrix and the style loss: both kernels against NumPy in float64 and against autodiff."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tf_style.errors import InputError
from tf_style.ops import library
from tf_style.ops.gram import gram_loss, gram_matrix, kernel_info

FLOAT32_EPSILON = 2.0**-24
BFLOAT16_EPSILON = 2.0**-8
# Roundings on the way from one term to the sum, at most. Derived for the custom op: it adds up to 256
# terms in a register, then a slab's passes, then up to 128 slabs. Measured for the stock ops.
MAX_ROUNDINGS = 1024
DTYPES = ["float32", "bfloat16"]

pytestmark = pytest.mark.usefixtures("exact_float32")


def random_features(shape, dtype, seed=0):
    """Activations after ReLU, as the network's are: half zeros."""
    values = np.random.default_rng(seed).normal(size=shape).clip(min=0) * 100
    return tf.cast(tf.constant(values, tf.float32), dtype)


def reference(features, target, scale):
    """Loss, its gradient, and the sum of the absolute terms of either, in float64."""
    flat = features.numpy().astype(np.float64)
    flat = flat.reshape(flat.shape[0], -1, flat.shape[-1])
    gram = flat.swapaxes(1, 2) @ flat
    difference = gram - target
    symmetric = difference + difference.swapaxes(1, 2)
    loss = scale * (difference**2).sum((1, 2))
    gradient = 2 * scale * (flat @ symmetric)
    return gram, loss, gradient.reshape(features.shape), difference, flat


def loss_and_gradient(features, target, scale, kernel):
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = gram_loss(features, target, scale, kernel=kernel)
    return loss, tape.gradient(loss, features)


def check(features, target, scale, kernel, run=lambda function: function):
    """Compares gram_matrix, gram_loss and its gradient with float64, within derived bounds."""
    gram, loss, gradient, difference, flat = reference(features, target, scale)
    target = tf.constant(target, tf.float32)
    run_gram = run(lambda x: gram_matrix(x, kernel=kernel))
    # All terms of a picture's diagonal are positive, and no other entry has a larger absolute sum.
    largest = np.diagonal(gram, axis1=1, axis2=2).max(1)[:, None, None]
    gram_bound = MAX_ROUNDINGS * FLOAT32_EPSILON * largest
    assert (np.abs(run_gram(features) - gram) <= gram_bound).all()

    value, slope = run(lambda x: loss_and_gradient(x, target, scale, kernel))(features)
    assert value.dtype == tf.float32
    assert slope.dtype == features.dtype
    assert slope.shape == features.shape
    # An error e in a difference d changes its square by 2 d e + e e.
    error = gram_bound + 2 * FLOAT32_EPSILON * np.abs(target)
    loss_bound = scale * (2 * np.abs(difference) * error + error**2).sum((1, 2))
    assert (np.abs(value - loss) <= loss_bound + 64 * FLOAT32_EPSILON * loss).all()
    epsilon = FLOAT32_EPSILON if features.dtype == tf.float32 else BFLOAT16_EPSILON
    # The matrix is rounded once to the features' dtype, and so is the result.
    terms = np.abs(flat) @ (2 * np.abs(difference) * 2)
    bound = 2 * scale * (np.abs(flat) @ np.broadcast_to(2 * error, difference.shape))
    bound += 2 * scale * (epsilon * 2 + MAX_ROUNDINGS * FLOAT32_EPSILON) * terms
    slope = slope.numpy().astype(np.float64)
    assert (np.abs(slope - gradient) <= bound.reshape(gradient.shape)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (3, 1, 64),
        (1, 7, 3),
        (3, 7, 100),
        (1, 7, 512),
        (3, 1000, 1),
        (1, 1000, 3),
        (3, 1000, 64),
        (1, 1000, 100),
        (1, 1000, 512),
        (1, 1000, 519),
        (1, 196608, 3),
        (1, 196608, 64),
        (3, 13, 11, 64),
        (1, 48, 64, 256),
    ],
    ids=str,
)
def test_agrees_with_float64(kernel, dtype, shape):
    features = random_features(shape, dtype)
    positions = np.prod(shape[1:-1])
    target = random_target(shape[-1], positions)
    check(features, target, 1 / (4 * float(shape[-1] * positions) ** 2), kernel)


def random_target(channels, positions, batch=1):
    return gram_matrix(
        random_features((batch, 5, channels), "float32", seed=1) * positions**0.5, kernel="stock"
    ).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [3, 4])
def test_dynamic_shapes_in_a_graph(kernel, dtype, rank):
    def run(function):
        shape = [None] * (rank - 1) + [65]
        return tf.function(function, input_signature=[tf.TensorSpec(shape, dtype)])

    features = random_features((2, 9, 8, 65) if rank == 4 else (2, 72, 65), dtype)
    check(features, random_target(65, 72, batch=2), 1e-4, kernel, run)


@pytest.mark.parametrize("dtype", DTYPES)
def test_static_shapes_in_a_graph(kernel, dtype):
    features = random_features((1, 40, 30, 64), dtype)
    check(features, random_target(64, 1200), 1e-9, kernel, tf.function)


def test_a_target_that_is_not_symmetric(kernel):
    features = random_features((2, 50, 17), "float32")
    target = np.random.default_rng(2).normal(size=(2, 17, 17)) * 1e4
    check(features, target, 1e-6, kernel)


def test_millions_of_positions_stay_accurate(kernel):
    """Measured: 3e-7 custom, 1.2e-6 stock; one running sum in float32 was wrong by 1.5e-3."""
    features = random_features((1, 4_000_000, 3), "float32")
    flat = features.numpy()[0].astype(np.float64)
    expected = flat.T @ flat
    error = np.abs(gram_matrix(features, kernel=kernel)[0] - expected).max()
    assert error / expected.max() < (2e-6 if kernel == "custom" else 1e-5)


def test_gradient_of_the_loss_by_finite_differences(kernel):
    features = random_features((1, 30, 8), "float32") / 100
    target = random_target(8, 30) / 1e4
    direction = tf.constant(np.random.default_rng(3).normal(size=features.shape), tf.float32)
    _, gradient = loss_and_gradient(features, target, 0.01, kernel)
    step = 1e-3
    sides = [reference(features + sign * step * direction, target, 0.01)[1][0] for sign in (1, -1)]
    slope = float(tf.reduce_sum(gradient * direction))
    # A central difference is wrong by step**2 / 6 times the third derivative, of order 10 here.
    assert slope == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-4)


def test_gradients_are_autodiffs(kernel):
    features = random_features((3, 200, 32), "float32")
    target = tf.constant(random_target(32, 200))
    weights = tf.constant([1.0, 0.5, -2.0])

    def plain_loss(features):
        gram = tf.matmul(features, features, transpose_a=True)
        return 1e-8 * tf.reduce_sum(tf.square(gram - target), [1, 2]), tf.reduce_sum(gram**3)

    def own_loss(features):
        gram = gram_matrix(features, kernel=kernel)
        return gram_loss(features, target, 1e-8, kernel=kernel), tf.reduce_sum(gram**3)

    for part in (0, 1):
        gradients = []
        for function in (plain_loss, own_loss):
            with tf.GradientTape() as tape:
                tape.watch(features)
                value = tf.reduce_sum(weights * function(features)[part])
            gradients.append(tape.gradient(value, features).numpy())
        np.testing.assert_allclose(
            gradients[1], gradients[0], rtol=0, atol=1e-5 * np.abs(gradients[0]).max()
        )


def test_target_and_scale_get_no_gradient(kernel):
    features, target, scale = random_features((1, 5, 4), "float32"), tf.eye(4)[None], tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch([target, scale])
        loss = gram_loss(features, target, scale, kernel=kernel)
    assert tape.gradient(loss, [target, scale]) == [None, None]


def test_the_second_derivative_is_an_error(kernel):
    features = random_features((1, 5, 4), "float32")
    with tf.GradientTape() as outer:
        outer.watch(features)
        _, gradient = loss_and_gradient(features, tf.eye(4)[None], 1.0, kernel)
    with pytest.raises(LookupError, match="first derivative only"):
        outer.gradient(gradient, features)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_every_time(kernel, dtype):
    features = random_features((1, 20000, 65), dtype)
    target = random_target(65, 20000)
    first = loss_and_gradient(features, target, 1e-9, kernel)
    for _ in range(3):
        again = loss_and_gradient(features, target, 1e-9, kernel)
        assert (first[0] == again[0]).numpy().all()
        assert (first[1] == again[1]).numpy().all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_propagates(kernel, dtype, value):
    features = np.ones((1, 40, 19), np.float32)
    features[0, 39, 18] = value
    loss, gradient = loss_and_gradient(
        tf.cast(features, dtype), np.zeros((1, 19, 19), np.float32), 1.0, kernel
    )
    assert not np.isfinite(loss).any()
    assert not np.isfinite(gradient.numpy().astype(np.float32)).all()


def test_zero_gradient_at_the_target(kernel):
    features = tf.cast(tf.reshape(tf.range(60) % 5, [1, 20, 3]), tf.float32)
    loss, gradient = loss_and_gradient(features, gram_matrix(features, kernel=kernel), 1.0, kernel)
    assert loss[0] == 0
    assert (gradient == 0).numpy().all()


def test_an_empty_batch(kernel):
    loss, gradient = loss_and_gradient(tf.zeros([0, 5, 3]), tf.eye(3)[None], 1.0, kernel)
    assert loss.shape == [0]
    assert gradient.shape == [0, 5, 3]


@pytest.mark.parametrize(
    ("features", "target", "message"),
    [
        (tf.zeros([5, 3]), tf.eye(3)[None], r"Received: shape=\(5, 3\)"),
        (tf.zeros([1, 5, 3], tf.float16), tf.eye(3)[None], "Received: dtype=float16"),
        (tf.zeros([1, 0, 3]), tf.eye(3)[None], r"one position .* Received: shape=\(1, 0, 3\)"),
        (tf.zeros([1, 5, 3]), tf.eye(4)[None], r"\(1, 5, 3\). Received: shape=\(1, 4, 4\)"),
        (tf.zeros([3, 5, 4]), tf.zeros([2, 4, 4]), r"\(3, 5, 4\). Received: shape=\(2, 4, 4\)"),
        (tf.zeros([1, 5, 3]), tf.eye(3), r"Received: shape=\(3, 3\)"),
    ],
)
def test_bad_input(kernel, features, target, message):
    with pytest.raises(InputError, match=message):
        gram_loss(features, target, 1.0, kernel=kernel)


def custom_ops():
    ops = library.custom_ops("auto")
    if ops is None:
        pytest.skip(kernel_info().reason)
    return ops


BAD_SHAPES = [
    ((5, 3), (1, 3, 3), "Received: rank 2"),
    ((1, 0, 3), (1, 3, 3), "at least 1 position and 1 channel"),
    ((1, 5, 3), (1, 4, 4), r"\[1,5,3\]. Received: shape \[1,4,4\]"),
    ((3, 5, 3), (2, 3, 3), r"\[3,5,3\]. Received: shape \[2,3,3\]"),
    ((1, 5, 3), (3, 3), r"\[1,5,3\]. Received: shape \[3,3\]"),
]


@pytest.mark.parametrize(("features", "target", "message"), BAD_SHAPES)
@pytest.mark.parametrize("where", ["kernel", "shape function"])
def test_the_op_checks_shapes_twice(features, target, message, where):
    ops = custom_ops()

    def call(features, target):
        return ops.tf_style_gram_loss(features=features, target=target, scale=1.0)

    if where == "kernel":  # The shape function knows nothing in this graph.
        unknown = tf.TensorSpec(None, tf.float32)
        call = tf.function(call, input_signature=[unknown, unknown])
        error = tf.errors.InvalidArgumentError
    else:
        call = tf.function(call)
        error = ValueError
    with pytest.raises(error, match=message):
        call(tf.zeros(features), tf.zeros(target))


def test_the_op_infers_shapes():
    ops = custom_ops()
    shapes = []

    @tf.function
    def call(features, target):
        result = ops.tf_style_gram_loss(features=features, target=target, scale=1.0)
        shapes.extend([result.loss.shape.as_list(), result.gradient.shape.as_list()])
        shapes.append(ops.tf_style_gram(features=features).shape.as_list())

    call.get_concrete_function(tf.TensorSpec([None, None, 7, 3]), tf.TensorSpec([1, None, None]))
    assert shapes == [[None], [None, None, 7, 3], [None, 3, 3]]


def test_a_gpu_gets_the_work_that_is_meant_for_it(kernel):
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("there is no GPU")
    loss, gradient = loss_and_gradient(tf.ones([1, 4, 2]), tf.eye(2)[None], 1.0, kernel)
    assert "GPU" in loss.device
    assert "GPU" in gradient.device


def test_graphs_leave_nothing_behind(kernel):
    """tf.custom_gradient would register a gradient for each trace, and keep its graph with it."""
    from tensorflow.python.framework import ops

    def trace():
        @tf.function
        def run(features):
            return loss_and_gradient(features, tf.eye(2)[None], 1.0, kernel)

        concrete = run.get_concrete_function(tf.TensorSpec([1, 4, 2]))
        concrete(tf.ones([1, 4, 2]))
        return weakref.ref(concrete.graph)

    trace()
    before = len(ops.gradient_registry.list())
    graph = trace()
    gc.collect()
    assert len(ops.gradient_registry.list()) == before
    assert graph() is None


def test_a_function_is_differentiated_from_outside(kernel):
    """Then the gradient comes from the function's graph and not from a tape in it."""
    features, target = random_features((2, 50, 16), "float32"), random_target(16, 50)
    expected = loss_and_gradient(features, target, 1e-6, kernel)

    @tf.function
    def loss(features):
        total = tf.zeros([2])
        for _ in tf.range(3):  # And a loop's gradient from that of its body.
            total += gram_loss(features, target, 1e-6, kernel=kernel)
        return total

    with tf.GradientTape() as tape:
        tape.watch(features)
        value = loss(features)
    np.testing.assert_allclose(value, 3 * expected[0], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, features), 3 * expected[1], rtol=1e-5, atol=1e-6)


def test_a_graph_of_the_stock_ops_can_be_saved(tmp_path):
    features, target = random_features((1, 50, 16), "float32"), random_target(16, 50)
    module = tf.Module()
    module.run = tf.function(
        lambda x: loss_and_gradient(x, target, 1e-6, "stock"),
        input_signature=[tf.TensorSpec([1, None, 16])],
    )
    options = tf.saved_model.SaveOptions(namespace_whitelist=[], experimental_custom_gradients=False)
    tf.saved_model.save(module, str(tmp_path), options=options)
    loaded = tf.saved_model.load(str(tmp_path)).run(features)
    for one, other in zip(loaded, module.run(features), strict=True):
        np.testing.assert_array_equal(one, other)


def test_under_xla_stock_is_taken():
    features, target = random_features((1, 50, 16), "float32"), random_target(16, 50)

    inner = tf.function(lambda features: loss_and_gradient(features, target, 1e-6, "auto"))
    expected = loss_and_gradient(features, target, 1e-6, "auto")
    compiled = tf.function(lambda features: inner(features), jit_compile=True)(features)
    np.testing.assert_allclose(compiled[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(compiled[1], expected[1], rtol=1e-4, atol=1e-3)


def test_custom_under_xla_is_an_error():
    custom_ops()
    function = tf.function(lambda x: gram_matrix(x, kernel="custom"), jit_compile=True, autograph=False)
    with pytest.raises(InputError, match="jit_compile"):
        function(tf.ones([1, 4, 2]))


def test_a_graph_with_the_op_cannot_be_saved_by_mistake(tmp_path):
    custom_ops()
    module = tf.Module()
    module.run = tf.function(gram_matrix, input_signature=[tf.TensorSpec([1, 4, 2])])
    with pytest.raises(ValueError, match="TfStyle"):
        tf.saved_model.save(
            module, str(tmp_path), options=tf.saved_model.SaveOptions(namespace_whitelist=[])
        )


def test_an_unknown_kernel_is_an_error():
    with pytest.raises(InputError, match="Received: kernel='fast'"):
        gram_matrix(tf.ones([1, 4, 2]), kernel="fast")
