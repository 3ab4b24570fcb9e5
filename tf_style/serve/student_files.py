"""What a student's export holds beside the SavedModel: warm-up requests and a README."""

import pathlib

import numpy as np
import tensorflow as tf

from tf_style._version import __version__
from tf_style.files import shown
from tf_style.serve import decode, requests
from tf_style.serve.serving_files import prediction_log
from tf_style.student.stored import MIN_SIDE_PX
from tf_style.student.student import Student


def write_all(folder: pathlib.Path, student: Student, size: int, *, name: str) -> None:
    """Writes both.

    Args:
      folder: Of the SavedModel.
      student: What was exported.
      size: What a picture's longer side is resized to.
      name: Of the model, as it is served.
    """
    pixels = np.random.default_rng(0).random((1, MIN_SIDE_PX, MIN_SIDE_PX, 3), np.float32)
    warmup = folder / "assets.extra" / "tf_serving_warmup_requests"
    warmup.parent.mkdir()
    with tf.io.TFRecordWriter(str(warmup)) as writer:
        writer.write(prediction_log(name, "stylize_tensor", {"images": pixels}))
        png = [decode.encode(pixels[0]).numpy()]
        writer.write(prediction_log(name, "serving_default", {"image_bytes": png}))
    stored = student.stored
    text = _README.format(
        name=name,
        version=__version__,
        styles=", ".join(map(shown, stored.styles)),
        strength=_STRENGTH if stored.dial else "",
        blend=_BLEND.format(count=len(stored.styles)) if len(stored.styles) > 1 else "",
        size=size,
        trained=stored.size,
        most=requests.MAX_IMAGES,
        max_bytes=decode.MAX_BYTES // 2**20,
        max_pixels=decode.MAX_PIXELS // 1_000_000,
        least=MIN_SIDE_PX,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


_STRENGTH = (
    "| `stylize_strength` | `image_bytes`, `strength` float32 [None], 0 to 1 | `stylized_bytes` |\n"
)
_BLEND = (
    "| `stylize_blend` | `image_bytes`, `style_blend` float32 [None, {count}], of any sum | "
    "`stylized_bytes` |\n"
)
_README = """# {name}: a student as a SavedModel

Made by tf_style {version}. It renders pictures in the style of {styles}, in one pass of a network that
has learnt it at {trained} pixels: the strokes' size is that of those. The graph holds TensorFlow's own
operations only, so any TensorFlow 2 server runs it; the network's weights are in it.

## Signatures

| signature | inputs | output |
|---|---|---|
| `serving_default` | `image_bytes` | `stylized_bytes` |
{strength}{blend}| `stylize_tensor` | `images` | `stylized` |

What ends in `_bytes` is string [None], the bytes of JPEG or PNG files in, of PNG files out, made at
{size} pixels on the longer side; `images` and `stylized` are float32 [None, None, None, 3], RGB, 0..1,
in their own size. Neighbours of one size in a request are made together: send pictures of one size side
by side.

## To serve it

```sh
docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD:/models/{name}" -e MODEL_NAME={name} tensorflow/serving
curl -s http://127.0.0.1:8501/v1/models/{name}:predict \\
  -d "{{\\"instances\\": [{{\\"b64\\": \\"$(base64 -w0 photo.jpg)\\"}}]}}"
```

run in the folder that holds the numbered versions; the answer is
`{{"predictions": [{{"b64": "..."}}]}}`. `assets.extra/tf_serving_warmup_requests` warms a server up.

## Limits

- At most {most} pictures a request, JPEG and PNG, each at most {max_bytes} MiB and {max_pixels} million
  pixels, and at least {least} pixels in each direction once resized. Pictures are turned upright by
  their EXIF; colour profiles are not applied: convert to sRGB first. Transparent pictures are laid on
  white, 16 bits become 8.
- One bad picture fails its request, before any is worked on, with a message that names it; the server
  goes on. TensorFlow Serving has no authentication: put it behind something that has.
"""
