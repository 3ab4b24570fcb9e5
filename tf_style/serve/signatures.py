"""The signatures of an export: requests are checked, then their pictures made one by one."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_style.embed.graph_pictures import mask_at
from tf_style.embed.stylizer import Stylizer
from tf_style.optimize.status import Status
from tf_style.serve import decode, requests
from tf_style.serve.packed_weights import PackedWeights
from tf_style.transfer.masks import has_proportions

# Pictures of the working size that `stylize_tensor` takes in one request.
MAX_TENSOR_PICTURES = 4


class Signatures:
    """The signatures, and in `stored` the variables that they read."""

    def __init__(self, stylizer: Stylizer, max_iterations: int):
        """Takes what is to be exported, and the most iterations that a request may ask for."""
        self._stylizer = stylizer
        self._max_iterations = max_iterations
        self.stored = PackedWeights(stylizer)
        self._styles = [tf.constant(np.uint8(np.round(style.numpy()))) for style in stylizer.own_styles]
        # By the batch, one or unknown, the number of styles, and whether there are masks: what several
        # signatures share.
        self._traced: dict[tuple[int | None, int, bool], tf.types.experimental.PolymorphicFunction] = {}

    def traced(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
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
        if not self._stylizer.why_no_masks:
            masks = tf.TensorSpec([None, len(self._styles)], tf.string)
            made["stylize_mask"] = concrete(self._stylize_mask, image_bytes=strings, mask_bytes=masks)
        if not self._stylizer.why_no_strength:
            made["stylize_strength"] = concrete(
                self._stylize_strength, image_bytes=strings, strength=strengths
            )
        return made

    def _stylize_bytes(self, image_bytes):
        return self._render(image_bytes, self._settings_iterations(image_bytes))

    def _stylize_strength(self, image_bytes, strength):
        image_bytes = requests.paired(image_bytes, strength, "one strength for each image")
        is_right = (strength >= 0.0) & (strength <= 1.0)
        image_bytes = requests.each(image_bytes, is_right, "strength is from 0 to 1")
        return self._render(image_bytes, self._settings_iterations(image_bytes), strength=strength)

    def _stylize_iterations(self, image_bytes, iterations):
        image_bytes = requests.paired(
            image_bytes, iterations, "one number of iterations for each image"
        )
        most = self._max_iterations
        is_right = (iterations >= 1) & (iterations <= most)
        image_bytes = requests.each(image_bytes, is_right, f"iterations are from 1 to {most}")
        return self._render(image_bytes, iterations)

    def _stylize_pair(self, content_bytes, style_bytes):
        content_bytes = requests.paired(content_bytes, style_bytes, "one style for each content")
        return self._render(content_bytes, self._settings_iterations(content_bytes), style_bytes)

    def _stylize_mask(self, image_bytes, mask_bytes):
        text = f"{len(self._styles)} masks for each image, one for each style"
        with tf.control_dependencies(
            [requests.check(tf.shape(mask_bytes)[1] == len(self._styles), text)]
        ):
            mask_bytes = tf.identity(mask_bytes)
        image_bytes = requests.paired(image_bytes, mask_bytes[:, 0], text)
        iterations = self._settings_iterations(image_bytes)
        return self._render(image_bytes, iterations, mask_bytes=mask_bytes)

    def _stylize_tensor(self, images):
        size = self._stylizer.settings.size
        most = MAX_TENSOR_PICTURES * size * size
        # The check of values comes last: it reads them all.
        checks = [
            requests.check(tf.size(images) > 0, "images hold no pixel"),
            requests.check(tf.size(images) <= 3 * most, f"images hold more than {most} pixels in all"),
            # NaN does not compare.
            requests.check(
                tf.reduce_all((images >= 0.0) & (images <= 1.0)), "images are finite and in 0..1"
            ),
        ]
        with tf.control_dependencies(checks):
            contents = 255.0 * tf.identity(images)
        iterations = self._stylizer.settings.iterations
        return {"stylized": self.optimized(contents, self.own_styles(), iterations)}

    def own_styles(self) -> list[tf.Tensor]:
        """The export's styles, each float32 [1, height, width, 3] in 0..255."""
        return [tf.cast(style, tf.float32) for style in self._styles]

    def _settings_iterations(self, image_bytes: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(image_bytes), self._stylizer.settings.iterations)

    def _render(self, image_bytes, iterations, style_bytes=None, *, strength=None, mask_bytes=None):
        """PNG files of the pictures, one after the other, for each may have a size of its own."""
        count = tf.shape(image_bytes)[0]
        check = requests.check(
            count <= requests.MAX_IMAGES, f"a request holds at most {requests.MAX_IMAGES} images"
        )
        with tf.control_dependencies([check]):
            image_bytes = tf.identity(image_bytes)
        # All are looked at before the first is worked on.
        image_bytes = self._workable(image_bytes, style_bytes, iterations, mask_bytes)

        def render(index):
            content = decode.decode(image_bytes[index], requests.name("image ", index))[tf.newaxis]
            originals, contents = 255.0 * content, 255.0 * self._stylizer.resized(content)
            styles = self.own_styles()
            if style_bytes is not None:
                style = decode.decode(style_bytes[index], requests.name("style ", index))[tf.newaxis]
                styles = [255.0 * style]
            of_this = None if strength is None else strength[index]
            masks = None
            if mask_bytes is not None:
                size = tf.shape(contents)[1:3]
                each = [mask_at(mask[tf.newaxis], size) for mask in self._masks(mask_bytes, index)]
                masks = tf.concat(each, axis=-1)
            made = self.optimized(
                contents, styles, iterations[index], of_this, masks, originals=originals
            )
            return decode.encode(made[0])

        return {
            "stylized_bytes": tf.map_fn(
                render,
                tf.range(tf.shape(image_bytes)[0]),
                parallel_iterations=1,
                fn_output_signature=tf.TensorSpec([], tf.string),
            )
        }

    def _masks(self, mask_bytes: tf.Tensor, index: tf.Tensor) -> list[tf.Tensor]:
        """The masks of one picture, each [height, width, 1]."""
        return [
            decode.decode_mask(mask_bytes[index, place], _mask_name(index, place))
            for place in range(len(self._styles))
        ]

    def _workable(self, image_bytes, style_bytes, iterations, mask_bytes):
        """The pictures, once all are known to be ones that can be worked on, and the styles too."""

        def look(index):
            name = requests.name("image ", index)
            content = decode.decode(image_bytes[index], name)
            names, styles = [name], [tf.shape(style)[1:3] for style in self._styles]
            if style_bytes is None:
                names += [tf.strings.join(["the style for ", name])] * len(styles)
            else:
                names.append(requests.name("style ", index))
                styles = [tf.shape(decode.decode(style_bytes[index], names[1]))[:2]]
            size = self._stylizer.sizes.of_picture(tf.shape(content)[:2])
            for holds, subject, at, text in self._stylizer.sizes.requirements(
                size, styles, iterations[index]
            ):
                height, width = tf.unstack(tf.strings.as_string(at))
                text = tf.strings.join([" at ", width, " x ", height, f" pixels {text}"])
                index = decode.require(index, (holds, names[subject], text))
            masks = [] if mask_bytes is None else self._masks(mask_bytes, index)
            for place, mask in enumerate(masks):
                sizes = tf.concat([tf.shape(mask)[:2], tf.shape(content)[:2]], 0)
                fits = has_proportions(*tf.unstack(tf.cast(sizes, tf.float64)), xp=tf)
                text = " has other proportions than its picture"
                index = decode.require(index, (fits, _mask_name(index, place), text))
            return index

        indices = tf.range(tf.shape(image_bytes)[0])
        looked = tf.map_fn(look, indices, parallel_iterations=1)
        with tf.control_dependencies([looked]):
            return tf.identity(image_bytes)

    def optimized(
        self, contents, styles, iterations, strength=None, masks=None, *, originals=None
    ) -> tf.Tensor:
        """Makes pictures, by a function that is traced once for all that have as many styles.

        Args:
          contents: float32 [1 or unknown, height, width, 3] in 0..255, of the size to work in.
          styles: Each likewise, [1, any height, any width, 3].
          iterations: A scalar.
          strength: A scalar, 0..1; None for the settings'.
          masks: float32 [1, height, width, styles] in 0..1, or None.
          originals: The contents before they were resized; None for the contents.

        Returns:
          float32 [batch, height, width, 3] in 0..1.
        """
        if strength is None:
            strength = (
                0.5 if self._stylizer.settings.strength is None else self._stylizer.settings.strength
            )
        key = contents.shape[0], len(styles), masks is not None
        if key not in self._traced:
            of_masks = [] if masks is None else [tf.TensorSpec([1, None, None, len(styles)])]
            self._traced[key] = tf.function(
                self._optimize,
                input_signature=[
                    *[tf.TensorSpec([key[0], None, None, 3])] * 2,
                    [tf.TensorSpec([1, None, None, 3])] * len(styles),
                    tf.TensorSpec([], tf.int32),
                    tf.TensorSpec([]),
                    *of_masks,
                ],
                autograph=False,
            )
        given = [] if masks is None else [masks]
        originals = contents if originals is None else originals
        return self._traced[key](contents, originals, styles, iterations, strength, *given)

    def _optimize(self, contents, originals, styles, iterations, strength, masks=None):
        if self._stylizer.why_no_strength:
            strength = None
        features = self.stored.features()
        state = self._stylizer.optimize(
            *(contents, styles, iterations, features, strength, masks, originals)
        )
        check = requests.check(
            tf.reduce_all(state.status != int(Status.NON_FINITE)), Status.NON_FINITE.text
        )
        with tf.control_dependencies([check]):
            return tf.clip_by_value(state.position / 255.0, 0.0, 1.0)


def _mask_name(index: tf.Tensor, place: int) -> tf.Tensor:
    return tf.strings.join([f"mask {place} of ", requests.name("image ", index)])
