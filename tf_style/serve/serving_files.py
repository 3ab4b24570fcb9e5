"""What an exported folder holds beside the SavedModel: warm-up requests and a README."""

import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from tf_style._version import __version__
from tf_style.embed.stylizer import Stylizer
from tf_style.network.architecture import min_side_px
from tf_style.serve import decode


def write_all(
    folder: pathlib.Path, stylizer: Stylizer, max_iterations: int, *, name: str, side: int
) -> None:
    """Writes both.

    Args:
      folder: Of the SavedModel.
      stylizer: What was exported.
      max_iterations: The most that a request may ask for.
      name: Of the model, as it is served.
      side: Of a small square picture that it can make.
    """
    warmup = folder / "assets.extra" / "tf_serving_warmup_requests"
    warmup.parent.mkdir()
    with tf.io.TFRecordWriter(str(warmup)) as writer:
        for record in _warmup_records(name, side):
            writer.write(record)
    strength = "" if stylizer.why_no_strength else _STRENGTH
    text = _README.format(
        strength=strength,
        masks="" if stylizer.why_no_masks else _MASKS,
        styles=len(stylizer.own_styles),
        name=name,
        version=__version__,
        size=stylizer.size,
        iterations=stylizer.settings.iterations,
        max_iterations=max_iterations,
        precision=stylizer.features.precision,
        max_bytes=decode.MAX_BYTES // 2**20,
        max_pixels=decode.MAX_PIXELS // 1_000_000,
        least=min_side_px(stylizer.preset.layers),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _warmup_records(name: str, side: int) -> Iterable[bytes]:
    """One cheap request for each kind of pictures, in arrays and in files: what most requests take."""
    pixels = np.random.default_rng(0).random((1, side, side, 3), np.float32)
    png = [decode.encode(pixels[0]).numpy()]
    yield prediction_log(name, "stylize_tensor", {"images": pixels})
    yield prediction_log(
        name, "stylize_iterations", {"image_bytes": png, "iterations": np.array([1], np.int32)}
    )


def prediction_log(model: str, signature: str, inputs: dict) -> bytes:
    """A serialised tensorflow.serving.PredictionLog of a PredictRequest.

    The field numbers are those of TensorFlow Serving's `apis/prediction_log.proto`, `predict.proto` and
    `model.proto`; its Python package would be a dependency for these three messages alone.
    """
    spec = _field(1, model.encode()) + _field(3, signature.encode())
    request = _field(1, spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, value: bytes) -> bytes:
    """A field of bytes in protocol buffers' wire format."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    octets = []
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])


_MASKS = "| `stylize_mask` | `image_bytes`, `mask_bytes` | `stylized_bytes` |\n"
_STRENGTH = "| `stylize_strength` | `image_bytes`, `strength` | `stylized_bytes` |\n"
_README = """# {name}: style transfer as a SavedModel

Made by tf_style {version}. It renders pictures in a style by optimisation (Gatys, Ecker and Bethge,
CVPR 2016): {iterations} iterations at {size} pixels on the longer side, in {precision}. The graph holds
TensorFlow's own operations only, so any TensorFlow 2 server runs it; the network's weights are in it.

## Signatures

| signature | inputs | output |
|---|---|---|
| `serving_default` | `image_bytes` | `stylized_bytes` |
| `stylize_pair` | `content_bytes`, `style_bytes` | `stylized_bytes` |
| `stylize_iterations` | `image_bytes`, `iterations` | `stylized_bytes` |
{masks}{strength}| `stylize_tensor` | `images` | `stylized` |

What ends in `_bytes` is string [None], the bytes of JPEG or PNG files in, of PNG files out;
`mask_bytes` is string [None, {styles}], for each picture a grey mask for each style, white where it
goes, and elsewhere the photograph stays; `iterations` is int32 [None], 1 to {max_iterations};
`strength` is float32 [None], from 0, the photograph, to 1, the style alone; `images` and `stylized`
are float32 [None, None, None, 3], RGB, 0..1, worked on in their own size.

## To serve it

```sh
docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD:/models/{name}" -e MODEL_NAME={name} tensorflow/serving
curl -s http://127.0.0.1:8501/v1/models/{name}:predict \\
  -d "{{\\"instances\\": [{{\\"b64\\": \\"$(base64 -w0 photo.jpg)\\"}}]}}"
```

run in the folder that holds the numbered versions; the answer is
`{{"predictions": [{{"b64": "..."}}]}}`. `assets.extra/tf_serving_warmup_requests` warms a server up.

## Limits

- JPEG and PNG, at most {max_bytes} MiB and {max_pixels} million pixels each, at least {least} pixels in
  each direction once resized. Pictures are turned upright by their EXIF; colour profiles are not
  applied: convert to sRGB first. Transparent pictures are laid on white, 16 bits become 8.
- One bad picture fails its request, before any is worked on, with a message that names it; the server
  goes on.
- A request takes minutes on a CPU at large sizes. TensorFlow Serving has no authentication and no queue
  that protects it: put it behind something that has both, and give clients a long timeout.
"""
