"""A third party's HTTP server around an export, as a stranger would write it; on loopback only.

python tests/kserve_server.py FOLDER PORT
"""

import base64
import sys

import tensorflow as tf
import uvicorn


class OnLoopback(uvicorn.Config):
    """KServe offers no choice of address."""

    def __init__(self, *arguments, host=None, **options):
        super().__init__(*arguments, host="127.0.0.1", **options)


uvicorn.Config = OnLoopback

from kserve import Model, ModelServer  # noqa: E402
from kserve.errors import InvalidInput  # noqa: E402


class Stylize(Model):
    def __init__(self, folder):
        super().__init__("stylize")
        self.loaded = tf.saved_model.load(folder)
        self.ready = True

    def predict(self, payload, headers=None):
        files = [base64.b64decode(instance["b64"]) for instance in payload["instances"]]
        try:
            made = self.loaded.signatures["serving_default"](image_bytes=tf.constant(files))
        except tf.errors.InvalidArgumentError as error:
            raise InvalidInput(error.message) from error
        encoded = [base64.b64encode(file).decode() for file in made["stylized_bytes"].numpy()]
        return {"predictions": [{"b64": text} for text in encoded]}


if __name__ == "__main__":
    model = Stylize(sys.argv[1])
    assert not [name for name in sys.modules if name.startswith("tf_style")]
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False).start([model])
