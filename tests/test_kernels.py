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


@pytest.fixture(scope="module")
def cxx():
    found = compile_ops.compiler()
    if found is None:
        pytest.skip("there is no C++ compiler")
    return found


@pytest.fixture(scope="module")
def kernel_objects(cxx, tmp_path_factory):
    """The kernels' object files, for all programs the same."""
    return compiled(cxx, compile_ops.kernel_units(), tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module", params=["gram", "conv_relu", "multi_vector"])
def program(request, cxx, kernel_objects, tmp_path_factory):
    """A program of tests and the kernels."""
    folder = tmp_path_factory.mktemp("program")
    units = {"test": [str(ROOT / "tests" / f"{request.param}_kernels_test.cc")]}
    return linked(cxx, kernel_objects + compiled(cxx, units, folder), folder)


def compiled(cxx, units, folder):
    """The object files of what the compiler gets for each."""

    def compile_one(name):
        target = str(folder / f"{name}.o")
        include = ["-I", str(ROOT / "kernels"), "-std=c++17"]
        subprocess.run([cxx, *include, *SANITIZE, "-c", "-o", target, *units[name]], check=True)
        return target

    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(compile_one, units))


def linked(cxx, objects, folder):
    """A program of object files."""
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
def test_the_gpus_kernels_thread_by_thread(op, unit, cxx, tmp_path):
    """Their arithmetic, barriers and bounds; that a GPU runs them, no test here can tell."""
    folder = str(ROOT / "tests" / "cuda_on_cpu")
    # Blocks of columns of the Gram matrix, and slabs of positions, from a few on.
    flags = ["-I", folder, "-DTF_STYLE_CUDA_ON_CPU", f"-DTF_STYLE_WORK_PER_BLOCK={1 << 20}"]
    flags.append("-DTF_STYLE_MIN_SLAB_POSITIONS=16")
    units = {
        "test": [*flags, str(ROOT / "tests" / f"{op}_kernels_test.cc")],
        "kernels": [*flags, "-x", "c++", str(ROOT / "kernels" / f"{unit}_gpu.cu")],
        "instruction_set": [str(ROOT / "kernels" / "instruction_set.cc")],
    }
    program = linked(cxx, compiled(cxx, units, tmp_path), tmp_path)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
