"""Exports behind servers that are not ours: KServe over HTTP, TensorFlow Serving's stub over gRPC."""

import base64
import concurrent.futures
import io
import pathlib
import socket
import subprocess
import sys
import time

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from tf_style import export_saved_model

ROOT = pathlib.Path(__file__).parent.parent
STYLE = str(ROOT / "examples" / "style.jpg")
NAME = "stylize"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / NAME
    return export_saved_model(STYLE, output, size=32, iterations=2)


@pytest.fixture(scope="module")
def photo():
    file = io.BytesIO()
    Image.open(ROOT / "examples" / "chelsea.jpg").resize((96, 64)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def server(folder):
    """KServe's ModelServer in a process of its own: its address and its process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "kserve_server.py"), str(folder), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline, "the server does not answer"
        try:
            if httpx.get(f"{address}/v1/models/{NAME}").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.2)
    yield address, process.pid
    process.kill()
    process.wait()


def ask(address, *files):
    body = {"instances": [{"b64": base64.b64encode(file).decode()} for file in files]}
    return httpx.post(f"{address}/v1/models/{NAME}:predict", json=body, timeout=120)


def size_of(answer, index=0):
    data = base64.b64decode(answer.json()["predictions"][index]["b64"])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        return picture.size


def resident_bytes(pid):
    (line,) = [
        line
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return 1024 * int(line.split()[1])


def test_kserve_serves_it_and_survives_a_bad_picture(server, photo):
    address, _ = server
    answer = ask(address, photo, photo)
    assert answer.status_code == 200, answer.text
    assert [size_of(answer, index) for index in (0, 1)] == [(32, 21), (32, 21)]
    bad = ask(address, photo, photo[: len(photo) // 2])
    assert 400 <= bad.status_code < 500
    assert "image 1 is damaged" in bad.text
    assert size_of(ask(address, photo)) == (32, 21)


def test_four_clients_lose_nothing_and_memory_stays(server, photo):
    address, pid = server
    for _ in range(4):
        ask(address, photo)
    before = resident_bytes(pid)
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda _: ask(address, photo), range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["predictions"][0]["b64"] for answer in answers}) == 1
    # Measured: 0.4 MiB in 20 requests; a picture's activations, lost each time, would be 60.
    assert resident_bytes(pid) - before < 60 * 2**20


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """TensorFlow Serving's service on the export."""

    def __init__(self, folder):
        self._loaded = tf.saved_model.load(str(folder))

    def Predict(self, request, context):  # noqa: N802
        signature = self._loaded.signatures[request.model_spec.signature_name]
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        try:
            outputs = signature(**inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


@pytest.fixture(scope="module")
def stub(folder):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(folder), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
    server.stop(None)


def test_the_official_grpc_stub(stub, photo):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.model_spec.signature_name = "serving_default"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([photo]))
    response = stub.Predict(request, timeout=120)
    (made,) = tf.make_ndarray(response.outputs["stylized_bytes"])
    assert Image.open(io.BytesIO(made)).size == (32, 21)
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([photo[:500]]))
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(request, timeout=120)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "image 0 is damaged" in error.value.details()


def test_the_warm_up_requests_are_read_back_and_replayed(folder, stub):
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    requests = [log.predict_log.request for log in logs]
    assert [request.model_spec.name for request in requests] == [NAME, NAME]
    outputs = [stub.Predict(request, timeout=120).outputs for request in requests]
    assert tf.make_ndarray(outputs[0]["stylized"]).shape == (1, 32, 32, 3)
    (made,) = tf.make_ndarray(outputs[1]["stylized_bytes"])
    assert np.asarray(Image.open(io.BytesIO(made))).shape == (32, 32, 3)
