"""The kernels alone, without TensorFlow: every instruction set under AddressSanitizer."""

import concurrent.futures
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "build_backend"))

import compile_ops  # noqa: E402

SANITIZE = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


@pytest.fixture(scope="module", params=["gram", "conv_relu", "multi_vector"])
def program(request, tmp_path_factory):
    """A program of tests and the kernels, compiled."""
    cxx = compile_ops.compiler()
    if cxx is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("kernels")
    source = f"{request.param}_kernels_test.cc"
    units = compile_ops.kernel_units() | {"test": [str(ROOT / "tests" / source)]}

    def compile_one(name):
        target = str(folder / f"{name}.o")
        include = ["-I", str(ROOT / "kernels"), "-std=c++17"]
        subprocess.run([cxx, *units[name], *include, *SANITIZE, "-c", "-o", target], check=True)
        return target

    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compile_one, units))
    program = folder / "kernels_test"
    subprocess.run([cxx, *SANITIZE, *objects, "-o", str(program), "-lpthread"], check=True)
    return program


@pytest.mark.parametrize("instruction_set", ["portable", "avx2", "avx512", "avx512bf16"])
def test_against_sums_in_double(program, instruction_set):
    environment = {"TF_STYLE_MAX_ISA": instruction_set}
    done = subprocess.run([program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    if not done.stdout.startswith(f"{instruction_set}:"):
        pytest.skip(f"this processor has no {instruction_set}")
