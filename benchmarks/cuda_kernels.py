"""The CUDA kernels on a GPU without TensorFlow: errors against float64, and times beside PyTorch's.

python benchmarks/cuda_kernels.py

Builds them with nvcc for the GPU at hand. PyTorch brings cuBLAS, and the memory. Every output is filled
with NaN before; a relative error is that of the Euclidean norm.
"""

import argparse
import ctypes
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

import results
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNITS = ("gram_loss_gpu.cu", "multi_vector_gpu.cu")
DTYPES = (torch.float32, torch.bfloat16)
# Positions and channels: the style layers at 512x384, two of 2048x1536 and 1366x768, and odd ones.
LAYERS = (
    *((196608, 64), (49152, 128), (12288, 256), (3072, 512), (768, 512)),
    *((3145728, 64), (1048579, 128), (77, 64), (1234, 37), (511, 512)),
)
# Numbers of a picture and vectors: L-BFGS's at 512x384 and 1024x768, and odd ones.
HISTORIES = ((589824, 40), (589824, 80), (2359296, 40), (1000003, 7), (37, 3), (589824, 129))
CALLS, RUNS = 50, 9
SIZE = ctypes.c_int64


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    with tempfile.TemporaryDirectory() as folder:
        kernels = load(build(pathlib.Path(folder)))
        lines = [
            f"PyTorch {torch.__version__}. Medians of {RUNS} runs of {CALLS} calls.",
            "",
            "| dtype | positions x channels | Gram | loss | gradient | same bits | ms "
            "| PyTorch's autodiff ms | times faster | bytes / copy ms |",
            f"|{'---|' * 10}",
        ]
        bandwidth = copy_bandwidth()
        for dtype in DTYPES:
            lines += [style_loss(kernels, dtype, *layer, bandwidth) for layer in LAYERS]
        lines += [
            "",
            "| dtype | numbers x vectors | dot | axpy | same bits | dot ms | axpy ms "
            "| bytes / copy ms |",
            f"|{'---|' * 8}",
        ]
        for dtype in DTYPES:
            lines += [history(kernels, dtype, *shape, bandwidth) for shape in HISTORIES]
    results.report("CUDA kernels", lines, write=arguments.write)


def build(folder: pathlib.Path) -> pathlib.Path:
    """The kernels as a shared library."""
    major, minor = torch.cuda.get_device_capability()
    library = folder / "cuda_kernels.so"
    command = [
        "nvcc",
        "-std=c++17",
        "-O3",
        "-Xcompiler",
        "-fPIC",
        "-shared",
        f"-arch=sm_{major}{minor}",
    ]
    command += ["-I", str(ROOT / "kernels"), "-o", str(library)]
    sources = [ROOT / "benchmarks" / "cuda_kernels.cc", *(ROOT / "kernels" / unit for unit in UNITS)]
    subprocess.run([*command, *map(str, sources), "-ldl"], check=True)
    return library


def load(library: pathlib.Path) -> ctypes.CDLL:
    """The library, with the cuBLAS that PyTorch has loaded."""
    torch.zeros(1, device="cuda")
    kernels = ctypes.CDLL(str(library))
    for name in ("GramBytes", "DotBytes"):
        getattr(kernels, name).restype = SIZE
    for name in ("Begin", "RunGram", "RunGramLoss", "RunDot", "RunAxpy"):
        function = getattr(kernels, name)
        function.restype = ctypes.c_char_p
        function.errcheck = check
    maps = pathlib.Path("/proc/self/maps").read_text().splitlines()
    kernels.Begin(next(line.split()[-1] for line in maps if "libcublas.so" in line).encode())
    return kernels


def check(error: bytes, function: object, _: object) -> None:
    """Ends the program at a kernel's error."""
    if error:
        sys.exit(f"{function}: {error.decode()}")


def style_loss(
    kernels: ctypes.CDLL, dtype: torch.dtype, positions: int, channels: int, bandwidth: float
) -> str:
    """A line of the table of Gram matrices."""
    x = torch.relu(torch.randn(positions, channels, device="cuda")).to(dtype)
    half = 0.1 * positions * torch.rand(channels, channels, device="cuda")
    target = half + half.T
    scale = torch.tensor([1.0 / (positions * channels) ** 2], device="cuda")
    shape = (SIZE(positions), SIZE(channels), dtype == torch.bfloat16)
    scratch = scratch_of(kernels.GramBytes(*shape))
    gram, loss, gradient = nan(channels, channels), nan(1), nan(positions, channels, dtype=dtype)
    kernels.RunGram(*shape, at(x), at(scratch), at(gram))

    def run() -> None:
        pointers = map(at, (x, scratch, target, scale, loss, gradient))
        kernels.RunGramLoss(*shape, *pointers)

    run()
    exact = x.double().T @ x.double()
    difference = exact - target.double()
    errors = (
        error(gram, exact),
        error(loss, scale.double() * difference.square().sum()),
        error(gradient, x.double() @ (2 * scale.double() * (difference + difference.T))),
    )
    first = loss.clone(), gradient.clone()
    run()
    is_same = torch.equal(first[0], loss) and torch.equal(first[1], gradient)
    variable = x.clone().requires_grad_()

    def autodiff() -> None:
        variable.grad = None
        product = (variable.T @ variable).float()
        (scale * (product - target).square()).sum().backward()

    ours, theirs = milliseconds(run), milliseconds(autodiff)
    moved = 3 * positions * channels * x.element_size()  # The features are read twice.
    return (
        f"| {str(dtype)[6:]} | {positions} x {channels} | "
        + " | ".join(f"{each:.0e}" for each in errors)
        + f" | {is_same} | {ours:.4f} | {theirs:.4f} | {theirs / ours:.1f} | {moved / bandwidth:.4f} |"
    )


def history(kernels: ctypes.CDLL, dtype: torch.dtype, size: int, count: int, bandwidth: float) -> str:
    """A line of the table of sums over vectors."""
    vectors = [torch.randn(size, device="cuda").to(dtype) for _ in range(count)]
    q, factors = torch.randn(size, device="cuda"), torch.randn(count, device="cuda")
    pointers = (ctypes.c_void_p * count)(*(vector.data_ptr() for vector in vectors))
    shape = (SIZE(size), dtype == torch.bfloat16, SIZE(count), pointers)
    scratch = scratch_of(kernels.DotBytes(*shape))
    products, total = nan(count, dtype=torch.float64), nan(size)

    def dot() -> None:
        kernels.RunDot(*shape, at(q), at(scratch), at(products))

    def axpy() -> None:
        kernels.RunAxpy(*shape, at(factors), at(q), at(total))

    dot()
    axpy()
    norm = q.double().norm()
    worst = max(
        abs(product - vector.double() @ q.double()) / (vector.double().norm() * norm)
        for product, vector in zip(products, vectors, strict=True)
    )
    exact = sum((f * v.double() for f, v in zip(factors.double(), vectors, strict=True)), q.double())
    of_total = error(total, exact)
    first = products.clone()
    dot()
    is_same = torch.equal(first, products)
    moved = count * size * vectors[0].element_size()
    return (
        f"| {str(dtype)[6:]} | {size} x {count} | {float(worst):.0e} | {of_total:.0e} | {is_same} "
        f"| {milliseconds(dot):.4f} | {milliseconds(axpy):.4f} | {moved / bandwidth:.4f} |"
    )


def nan(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor that nobody has written to."""
    return torch.full(shape, float("nan"), dtype=dtype, device="cuda")


def scratch_of(size: int) -> torch.Tensor:
    """Bytes that are NaN in every dtype."""
    return torch.full((size,), 0xFF, dtype=torch.uint8, device="cuda")


def at(tensor: torch.Tensor) -> ctypes.c_void_p:
    """Where it lies."""
    return ctypes.c_void_p(tensor.data_ptr())


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The relative error."""
    return float((found.double() - exact).norm() / exact.norm())


def milliseconds(function: Callable[[], None]) -> float:
    """The median of a call, by the GPU's clock."""
    for _ in range(5):
        function()
    times = []
    for _ in range(RUNS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(CALLS):
            function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / CALLS)
    return statistics.median(times)


def copy_bandwidth() -> float:
    """Bytes per millisecond of a large copy, read and written."""
    source = torch.randn(256 << 20, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / milliseconds(lambda: target.copy_(source))


if __name__ == "__main__":
    main()
