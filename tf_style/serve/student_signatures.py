"""The signatures of a student's export: pictures of one size are made together."""

from collections.abc import Callable

import tensorflow as tf

from tf_style.embed.graph_pictures import lanczos
from tf_style.embed.working_sizes import MAX_PIXELS
from tf_style.serve import decode, requests
from tf_style.student.shape import MARGIN_PX
from tf_style.student.stored import MIN_SIDE_PX
from tf_style.student.student import Student

# Pictures of one size that the network sees at once, and their pixels in all but where one alone has
# more: of more, memory would be short first.
MAX_BATCH = 8
MAX_BATCH_PIXELS = 8 * 576 * 576
# Pictures of the working size that `stylize_tensor` takes in one request.
MAX_TENSOR_PICTURES = 16


class StudentSignatures:
    """The signatures, and in `stored` the variables that they read."""

    def __init__(self, student: Student, size: int):
        """Takes a student, and what a picture's longer side is resized to."""
        self._student, self._size = student, size
        self._num_styles = len(student.stored.styles)
        self.stored = tf.Module(name="student")
        self.stored.weights = [variable.value for variable in student.network.model.weights]
        self._render = tf.function(self._made, autograph=False)
        self._most_pixels = min(MAX_PIXELS, student.stored.shape.most_pixels)

    def traced(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions by the names under which they are served."""
        strings = tf.TensorSpec([None], tf.string)

        def concrete(function: Callable, **specs: tf.TensorSpec):
            named = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()]
            return tf.function(function, input_signature=named, autograph=False).get_concrete_function()

        made = {
            "serving_default": concrete(self._stylize_bytes, image_bytes=strings),
            "stylize_tensor": concrete(
                self._stylize_tensor, images=tf.TensorSpec([None, None, None, 3], tf.float32)
            ),
        }
        if self._student.stored.dial:
            made["stylize_strength"] = concrete(
                self._stylize_strength, image_bytes=strings, strength=tf.TensorSpec([None], tf.float32)
            )
        if self._num_styles > 1:
            made["stylize_blend"] = concrete(
                self._stylize_blend,
                image_bytes=strings,
                style_blend=tf.TensorSpec([None, self._num_styles], tf.float32),
            )
        return made

    def _stylize_bytes(self, image_bytes):
        return self._of_files(image_bytes, *self._defaults(tf.shape(image_bytes)[0]))

    def _stylize_strength(self, image_bytes, strength):
        image_bytes = requests.paired(image_bytes, strength, "one strength for each image")
        is_right = (strength >= 0.0) & (strength <= 1.0)
        image_bytes = requests.each(image_bytes, is_right, "strength is from 0 to 1")
        _, styles = self._defaults(tf.shape(image_bytes)[0])
        return self._of_files(image_bytes, strength, styles)

    def _stylize_blend(self, image_bytes, style_blend):
        text = f"{self._num_styles} weights for each image, one for each style"
        with tf.control_dependencies(
            [requests.check(tf.shape(style_blend)[1] == self._num_styles, text)]
        ):
            image_bytes = requests.paired(image_bytes, style_blend[:, 0], text)
        total = tf.reduce_sum(style_blend, axis=1)
        is_right = tf.reduce_all(style_blend >= 0.0, axis=1) & (total > 0.0) & tf.math.is_finite(total)
        image_bytes = requests.each(image_bytes, is_right, "weights are 0 or more and not all 0")
        strength, _ = self._defaults(tf.shape(image_bytes)[0])
        return self._of_files(image_bytes, strength, style_blend / total[:, tf.newaxis])

    def _stylize_tensor(self, images):
        most = MAX_TENSOR_PICTURES * (self._size + 2 * MARGIN_PX) ** 2
        count, sides = tf.shape(images)[0], tf.shape(images)[1:3]
        # Of many small ones, the margins are most of what takes memory.
        pixels = tf.cast(count, tf.int64) * _with_margin(sides)
        checks = [
            requests.check(tf.size(images) > 0, "images hold no pixel"),
            requests.check(
                pixels <= most,
                f"images hold more than {most} pixels in all, with {MARGIN_PX} around each of them",
            ),
            requests.check(
                _with_margin(sides) <= self._most_pixels,
                f"an image has at most {self._most_pixels} pixels, with {MARGIN_PX} around it",
            ),
            requests.check(
                sides >= MIN_SIDE_PX, f"images have {MIN_SIDE_PX} pixels or more in each direction"
            ),
            # NaN does not compare.
            requests.check((images >= 0.0) & (images <= 1.0), "images are finite and in 0..1"),
        ]
        with tf.control_dependencies(checks):
            images = tf.identity(images)
        at_once = self._at_once(sides)

        def make_some(start: tf.Tensor, made: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            some = images[start : start + at_once]
            pictures = self._render(some, *self._defaults(tf.shape(some)[0]))
            return start + at_once, made.write(start // at_once, pictures)

        shape = [None, None, None, 3]
        parts = tf.TensorArray(tf.float32, -(-count // at_once), infer_shape=False, element_shape=shape)
        _, parts = tf.while_loop(
            lambda start, _: start < count, make_some, (0, parts), parallel_iterations=1
        )
        return {"stylized": tf.reshape(parts.concat(), tf.shape(images))}

    def _defaults(self, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stored = self._student.stored
        strength = tf.fill([count], tf.constant(stored.resolve_strength(None)))
        return strength, tf.repeat(tf.constant([stored.resolve_blend(None)]), count, axis=0)

    def _made(self, images: tf.Tensor, strength: tf.Tensor, styles: tf.Tensor) -> tf.Tensor:
        return self._student(images, strength, styles)

    def _of_files(self, image_bytes, strength, styles):
        """PNG files of the pictures; neighbours of one size are made together."""
        check = requests.check(
            tf.shape(image_bytes)[0] <= requests.MAX_IMAGES,
            f"a request holds at most {requests.MAX_IMAGES} images",
        )
        with tf.control_dependencies([check]):
            count = tf.shape(tf.identity(image_bytes))[0]
        # All are looked at before the first is worked on.
        sizes = tf.map_fn(
            lambda index: self._working_size(image_bytes[index], requests.name("image ", index)),
            tf.range(count),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
        )

        def resized(index: tf.Tensor) -> tf.Tensor:
            picture = decode.decode(image_bytes[index], requests.name("image ", index))
            return tf.clip_by_value(lanczos(picture[tf.newaxis], sizes[index])[0], 0.0, 1.0)

        def make_some(start: tf.Tensor, made: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            is_other = tf.reduce_any(sizes[start:] != sizes[start], axis=1)
            # The first of another size ends the batch.
            length = tf.argmax(tf.concat([is_other, [True]], 0), output_type=tf.int32)
            places = tf.range(start, start + tf.minimum(length, self._at_once(sizes[start])))
            images = tf.map_fn(
                resized,
                places,
                parallel_iterations=1,
                fn_output_signature=tf.TensorSpec([None, None, 3]),
            )
            pictures = self._render(images, tf.gather(strength, places), tf.gather(styles, places))
            files = tf.map_fn(decode.encode, pictures, fn_output_signature=tf.TensorSpec([], tf.string))
            return start + tf.size(places), made.scatter(places, files)

        _, made = tf.while_loop(
            lambda start, _: start < count,
            make_some,
            (0, tf.TensorArray(tf.string, count, element_shape=[])),
            parallel_iterations=1,
        )
        return {"stylized_bytes": made.stack()}

    def _at_once(self, sides: tf.Tensor) -> tf.Tensor:
        """How many pictures with these sides the network sees at once, an int32 scalar."""
        most = min(MAX_BATCH_PIXELS, self._most_pixels)
        return tf.clip_by_value(tf.cast(most // _with_margin(sides), tf.int32), 1, MAX_BATCH)

    def _working_size(self, data: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
        """int32 [2] of a picture that can be worked on, once that is known."""
        own = tf.shape(decode.decode(data, name))[:2]
        longest = tf.cast(tf.reduce_max(own), tf.float32)
        sides = tf.round(tf.cast(own, tf.float32) * (float(self._size) / longest))
        sides = tf.cast(tf.maximum(sides, 1.0), tf.int32)
        height, width = tf.unstack(tf.strings.as_string(sides))
        least = MIN_SIDE_PX
        text = tf.strings.join(
            [
                f" is too small: {least} pixels are needed in each direction, and it has ",
                width,
                " x ",
                height,
            ]
        )
        most = self._most_pixels
        large = f" is too large: with {MARGIN_PX} around it, at most {most} pixels are worked on"
        return decode.require(
            sides,
            (tf.reduce_min(sides) >= least, name, text),
            (_with_margin(sides) <= self._most_pixels, name, large),
        )


def _with_margin(sides: tf.Tensor) -> tf.Tensor:
    """How many pixels the network sees of a picture with these sides, an int64 scalar."""
    return tf.reduce_prod(tf.cast(sides, tf.int64) + 2 * MARGIN_PX)
