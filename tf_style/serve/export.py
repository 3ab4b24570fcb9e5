"""Exports a style as a SavedModel for serving: TensorFlow's own ops only, weights included."""

import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_style.embed.stylizer import Stylizer
from tf_style.errors import InputError
from tf_style.files import shown
from tf_style.images.picture import resize, working_size
from tf_style.images.reading import ImageSource, as_picture
from tf_style.network import weights
from tf_style.network.architecture import layers_up_to
from tf_style.network.features import Features
from tf_style.network.vgg19 import preprocess
from tf_style.optimize.status import Status
from tf_style.serve import decode, serving_files
from tf_style.transfer.prepare import as_sources

MAX_IMAGES = 64
# What is kept of a style image, in whole levels; larger ones are scaled down first.
MAX_STYLE_PIXELS = 2_000_000
# Pictures of the working size that `stylize_tensor` takes in one request.
MAX_TENSOR_PICTURES = 4


def export_saved_model(
    style: ImageSource | Sequence[ImageSource],
    output: str | os.PathLike,
    *,
    size: int = 512,
    iterations: int = 100,
    max_iterations: int = 1000,
    version: int | None = None,
    precision: str = "float32",
    **settings,
) -> pathlib.Path:
    """Writes a SavedModel that renders pictures in a style, for TensorFlow Serving and the like.

    Signatures, each with an unknown number of pictures:
      serving_default: `image_bytes` string [None] to `stylized_bytes` string [None], PNG.
      stylize_pair: `content_bytes` and `style_bytes`, string [None], to `stylized_bytes`.
      stylize_iterations: `image_bytes` and `iterations`, int32 [None], to `stylized_bytes`.
      stylize_strength: `image_bytes` and `strength`, float32 [None], to `stylized_bytes`; it is there
        where `strength` would not be refused as a setting.
      stylize_tensor: `images` float32 [None, None, None, 3] in 0..1, in their own size, to `stylized`,
        of the same shape.

    Args:
      style: As for `stylize`.
      output: The model's folder; the export is its subfolder `version`.
      size: What a picture's longer side is resized to.
      iterations: Of the optimiser, each of one evaluation.
      max_iterations: The most that `stylize_iterations` takes.
      version: 1 or more; None for the number after the highest there.
      precision: Of the network; float32 by default, because it is fast everywhere.
      **settings: As for `Stylizer`.

    Returns:
      The folder of the version.

    Raises:
      InputError: If the style cannot be read, a setting is wrong, the version exists, or the folder
        cannot be written.
    """
    folder = pathlib.Path(output)
    if not 1 <= iterations <= max_iterations:
        raise InputError(
            "iterations are 1 or more, and max_iterations no fewer. "
            f"Received: iterations={iterations}, max_iterations={max_iterations}"
        )
    _check_version(folder, version)
    stylizer = Stylizer(
        [_bounded(source) for source in as_sources(style)],
        size=size,
        kernel="stock",
        iterations=iterations,
        precision=precision,
        **settings,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be written: {error.strerror}") from error
    try:
        _save(_Export(stylizer, max_iterations), temporary)
        serving_files.write_all(temporary, stylizer, max_iterations, name=folder.resolve().name)
        temporary.chmod(0o755)
        return _publish(temporary, folder, version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Export:
    """The signatures, and in `stored` the variables that they read."""

    def __init__(self, stylizer: Stylizer, max_iterations: int):
        self._stylizer = stylizer
        self._max_iterations = max_iterations
        self.stored = _PackedWeights(stylizer)
        self._styles = [tf.constant(np.uint8(np.round(style.numpy()))) for style in stylizer.own_styles]

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions by the names under which they are served."""
        strings = tf.TensorSpec([None], tf.string)
        numbers = tf.TensorSpec([None], tf.int32)
        strengths = tf.TensorSpec([None], tf.float32)
        pictures = tf.TensorSpec([None, None, None, 3], tf.float32)

        def concrete(function: Callable, **specs: tf.TensorSpec):
            named = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()]
            return tf.function(function, input_signature=named, autograph=False).get_concrete_function()

        made = {
            "serving_default": concrete(self._stylize_bytes, image_bytes=strings),
            "stylize_pair": concrete(self._stylize_pair, content_bytes=strings, style_bytes=strings),
            "stylize_iterations": concrete(
                self._stylize_iterations, image_bytes=strings, iterations=numbers
            ),
            "stylize_tensor": concrete(self._stylize_tensor, images=pictures),
        }
        if not self._stylizer.why_no_strength:
            made["stylize_strength"] = concrete(
                self._stylize_strength, image_bytes=strings, strength=strengths
            )
        return made

    def _stylize_bytes(self, image_bytes):
        number = self._stylizer.settings.iterations
        return self._stylize_iterations(image_bytes, tf.fill(tf.shape(image_bytes), number))

    def _stylize_strength(self, image_bytes, strength):
        checks = [
            _check(tf.shape(strength) == tf.shape(image_bytes), "one strength for each image"),
            _check((strength >= 0.0) & (strength <= 1.0), "strength is from 0 to 1"),
        ]
        with tf.control_dependencies(checks):
            image_bytes = tf.identity(image_bytes)
        iterations = tf.fill(tf.shape(image_bytes), self._stylizer.settings.iterations)
        return self._render(image_bytes, self._own_styles, iterations, strength)

    def _stylize_iterations(self, image_bytes, iterations):
        checks = [
            _check(
                tf.shape(iterations) == tf.shape(image_bytes), "one number of iterations for each image"
            )
        ]
        most = self._max_iterations
        is_in_range = tf.reduce_all((iterations >= 1) & (iterations <= most))
        checks.append(_check(is_in_range, f"iterations are from 1 to {most}"))
        with tf.control_dependencies(checks):
            image_bytes = tf.identity(image_bytes)
        return self._render(image_bytes, self._own_styles, iterations)

    def _own_styles(self, index):
        return [tf.cast(style, tf.float32) / 255.0 for style in self._styles]

    def _stylize_pair(self, content_bytes, style_bytes):
        check = _check(tf.shape(content_bytes) == tf.shape(style_bytes), "one style for each content")
        with tf.control_dependencies([check]):
            content_bytes = tf.identity(content_bytes)
        content_bytes = _all_decodable(content_bytes, style_bytes, "style ")
        iterations = tf.fill(tf.shape(content_bytes), self._stylizer.settings.iterations)

        def styles(index):
            return [decode.decode(style_bytes[index], _name("style ", index))[tf.newaxis]]

        return self._render(content_bytes, styles, iterations)

    def _stylize_tensor(self, images):
        size = self._stylizer.settings.size
        most = MAX_TENSOR_PICTURES * size * size
        # The check of values comes last: it reads them all.
        checks = [
            _check(tf.size(images) > 0, "images hold no pixel"),
            _check(tf.size(images) <= 3 * most, f"images hold more than {most} pixels in all"),
            # NaN does not compare.
            _check(tf.reduce_all((images >= 0.0) & (images <= 1.0)), "images are finite and in 0..1"),
        ]
        with tf.control_dependencies(checks):
            contents = 255.0 * tf.identity(images)
        styles = [tf.cast(style, tf.float32) for style in self._styles]
        return {"stylized": self._optimized(contents, styles, self._stylizer.settings.iterations)}

    def _render(self, image_bytes, styles: Callable, iterations, strength=None):
        """PNG files of the pictures, one after the other, for each may have a size of its own."""
        check = _check(
            tf.shape(image_bytes)[0] <= MAX_IMAGES, f"a request holds at most {MAX_IMAGES} images"
        )
        with tf.control_dependencies([check]):
            image_bytes = tf.identity(image_bytes)
        # All are looked at before the first is worked on.
        image_bytes = _all_decodable(image_bytes, image_bytes, "image ")

        def render(index):
            content = decode.decode(image_bytes[index], _name("image ", index))[tf.newaxis]
            contents = 255.0 * self._stylizer.resized(content)
            chosen = [255.0 * style for style in styles(index)]
            of_this = None if strength is None else strength[index]
            return decode.encode(self._optimized(contents, chosen, iterations[index], of_this)[0])

        return {
            "stylized_bytes": tf.map_fn(
                render,
                tf.range(tf.shape(image_bytes)[0]),
                parallel_iterations=1,
                fn_output_signature=tf.TensorSpec([], tf.string),
            )
        }

    def _optimized(self, contents, styles, iterations, strength=None):
        features = self.stored.features()
        state = self._stylizer.optimize(contents, styles, iterations, features, strength)
        check = _check(tf.reduce_all(state.status != int(Status.NON_FINITE)), Status.NON_FINITE.text)
        with tf.control_dependencies([check]):
            return tf.clip_by_value(state.position / 255.0, 0.0, 1.0)


class _PackedWeights(tf.Module):
    """The network's weights as variables, each once; the embedded ones in their 8 bits."""

    def __init__(self, stylizer: Stylizer):
        super().__init__(name="weights")
        self._network = stylizer.features
        # By the name of the network's variable, for weights as they are.
        self._arrays: dict[str, tf.Variable] = {}
        # By the layer's name: codebook, codes, bias, factors of the layer's input and its own means.
        self._packed: dict[str, list[tf.Variable]] = {}
        if stylizer.settings.weights != "embedded":
            for variable in self._network.model.non_trainable_variables:
                self._arrays[variable.path] = tf.Variable(variable.value, trainable=False)
            return
        layers = layers_up_to(stylizer.preset.layers)
        means = {layer.name: np.ones(layer.channels, np.float32) for layer in layers}
        if stylizer.preset.normalize:
            means = weights.mean_activations(stylizer.preset.pooling, layers)
        gains = weights.input_gains(stylizer.preset)
        input_means = np.ones(3, np.float32)
        for name, (codebook, codes, bias) in weights.load_embedded_codes(layers).items():
            arrays = (codebook, codes, bias, input_means * gains[name], means[name])
            self._packed[name] = [tf.Variable(array, trainable=False) for array in arrays]
            input_means = means[name]

    def features(self) -> Features:
        """The network, its weights unpacked where this is called."""
        values = {path: variable.read_value() for path, variable in self._arrays.items()}
        for name, (codebook, codes, bias, input_factors, means) in self._packed.items():
            # As in `weights.normalize`, operation by operation, so that the bits are the same.
            kernel = tf.gather(codebook, tf.cast(codes, tf.int32))
            values[f"{name}/kernel"] = kernel * input_factors[:, tf.newaxis] / means
            values[f"{name}/bias"] = bias / means
        return _StatelessFeatures(self._network, values)


class _StatelessFeatures(Features):
    """A network that computes with tensors in place of its variables."""

    def __init__(self, network: Features, values: Mapping[str, tf.Tensor]):
        """Takes the network, and a tensor for each of its variables, by the variable's path."""
        self.precision = network.precision
        self.padding = network.padding
        self.model = network.model
        variables = self.model.non_trainable_variables
        expected = {variable.path: tuple(variable.shape) for variable in variables}
        received = {path: tuple(value.shape) for path, value in values.items()}
        if received != expected:
            raise ValueError(f"The network's variables are {expected}. Received: {received}")
        self._values = [tf.cast(values[each.path], each.dtype) for each in variables]

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        x = preprocess(images, padding=self.padding)
        outputs, _ = self.model.stateless_call([], self._values, x, training=False)
        return outputs


def _save(export: _Export, folder: pathlib.Path) -> None:
    # An empty whitelist refuses a graph with an op of ours, which no server has.
    options = tf.saved_model.SaveOptions(namespace_whitelist=[], experimental_custom_gradients=False)
    tf.saved_model.save(export.stored, str(folder), signatures=export.signatures(), options=options)


def _check(condition: tf.Tensor, text: str) -> tf.Operation:
    return tf.debugging.Assert(tf.reduce_all(condition), [tf.constant(text)])


def _name(kind: str, index: tf.Tensor) -> tf.Tensor:
    return tf.strings.join([kind, tf.strings.as_string(index)])


def _all_decodable(value: tf.Tensor, data: tf.Tensor, kind: str) -> tf.Tensor:
    """The value, once every picture of `data` has been decoded and so found to be one."""
    sizes = tf.map_fn(
        lambda index: tf.size(decode.decode(data[index], _name(kind, index))),
        tf.range(tf.shape(data)[0]),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec([], tf.int32),
    )
    with tf.control_dependencies([sizes]):
        return tf.identity(value)


def _bounded(style: ImageSource) -> np.ndarray:
    """A style image in whole levels, uint8 [height, width, 3]."""
    pixels = as_picture(style).pixels
    height, width = pixels.shape[:2]
    if height * width > MAX_STYLE_PIXELS:
        side = int(MAX_STYLE_PIXELS**0.5)
        pixels = resize(pixels, *working_size(height, width, side, "area"))
    return np.uint8(np.round(255.0 * pixels))


def _versions(folder: pathlib.Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def _check_version(folder: pathlib.Path, version: int | None) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{shown(folder)} is a file. Expected a folder, or a name that is free")
    if version is not None and version < 1:
        raise InputError(f"version is 1 or more. Received: {version}")
    if version in _versions(folder):
        raise InputError(f"{shown(folder)} has a version {version} already: leave --version out")


def _publish(temporary: pathlib.Path, folder: pathlib.Path, version: int | None) -> pathlib.Path:
    """Gives the folder its number; a server that watches sees a whole version or none."""
    while True:
        number = version or max(_versions(folder), default=0) + 1
        target = folder / str(number)
        try:
            os.rename(temporary, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            # Another export took the number meanwhile.
            _check_version(folder, version)
        else:
            return target
