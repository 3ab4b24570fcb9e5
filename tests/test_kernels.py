"""The kernels without TensorFlow, under AddressSanitizer: every instruction set's, and the GPU's."""

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
    return build(cxx, units, folder)


def build(cxx, units, folder):
    """A program of what the compiler gets for each object file."""

    def compile_one(name):
        target = str(folder / f"{name}.o")
        include = ["-I", str(ROOT / "kernels"), "-std=c++17"]
        subprocess.run([cxx, *include, *SANITIZE, "-c", "-o", target, *units[name]], check=True)
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


@pytest.mark.parametrize(("op", "unit"), [("gram", "gram_loss"), ("multi_vector", "multi_vector")])
def test_the_gpus_kernels_thread_by_thread(op, unit, tmp_path):
    """Their arithmetic, barriers and bounds; that a GPU runs them, no test here can tell."""
    cxx = compile_ops.compiler()
    if cxx is None:
        pytest.skip("there is no C++ compiler")
    folder = str(ROOT / "tests" / "cuda_on_cpu")
    # Blocks of columns of the Gram matrix, and slabs of positions, from a few on.
    flags = ["-I", folder, "-DTF_STYLE_CUDA_ON_CPU", f"-DTF_STYLE_WORK_PER_BLOCK={1 << 20}"]
    flags.append("-DTF_STYLE_MIN_SLAB_POSITIONS=16")
    units = {
        "test": [*flags, str(ROOT / "tests" / f"{op}_kernels_test.cc")],
        "kernels": [*flags, "-x", "c++", str(ROOT / "kernels" / f"{unit}_gpu.cu")],
        "instruction_set": [str(ROOT / "kernels" / "instruction_set.cc")],
    }
    done = subprocess.run([build(cxx, units, tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
