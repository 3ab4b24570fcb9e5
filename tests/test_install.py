"""Installation as a user does it, in pip's build isolation. Minutes and gigabytes: only on request."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("TF_STYLE_TEST_INSTALL") != "1", reason="TF_STYLE_TEST_INSTALL=1 runs it"
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
USE = """
import tensorflow as tf
from tf_style.ops.gram import gram_matrix, kernel_info
assert kernel_info().kernel == "custom", kernel_info()
assert gram_matrix(tf.ones([1, 9, 5]), kernel="custom")[0, 4, 4] == 9
"""


def run(*command, folder):
    subprocess.run([str(part) for part in command], cwd=folder, check=True)


def make_environment(folder):
    run(sys.executable, "-m", "venv", folder, folder=folder.parent)
    return folder / "bin" / "python"


def test_source_wheel_and_editable(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_STYLE_BUILD_OPS", "1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    source = tmp_path / "source"
    built = shutil.ignore_patterns(".git", "build", "*.so", "_build_info.py", "__pycache__")
    shutil.copytree(ROOT, source, ignore=built)

    first = make_environment(tmp_path / "first")
    run(first, "-m", "pip", "install", source, folder=tmp_path)
    run(first, "-c", USE, folder=tmp_path)

    run(first, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, source, folder=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    second = make_environment(tmp_path / "second")
    run(second, "-m", "pip", "install", wheel, folder=tmp_path)
    run(second, "-c", USE, folder=tmp_path)

    run(first, "-m", "pip", "install", "--no-deps", "-e", source, folder=tmp_path)
    assert list(source.glob("tf_style/ops/kernels_tf*.so"))
    run(first, "-c", USE, folder=tmp_path)
