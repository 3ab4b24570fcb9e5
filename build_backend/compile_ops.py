"""Compiles kernels/ into one library for the TensorFlow at hand. Knows nothing of setuptools.

`python build_backend/compile_ops.py` puts the op into a checkout, for use without an installation;
`pip install .` and `pip install -e .` come here by way of setup.py.

Environment variables:
  TF_STYLE_BUILD_OPS: "auto" (default) builds the op where it can and says why where it cannot; "1"
    makes that an error; "0" leaves the op out.
  TF_STYLE_CUDA: The same for the op's CUDA part, which needs nvcc on the PATH.
  TF_STYLE_CUDA_ARCHITECTURES: nvcc's names, by default "sm_80,sm_90,compute_90"; compute_90 is PTX,
    which newer GPUs translate when they first load it.
  CXX: The C++ compiler, by default g++.
"""

import concurrent.futures
import importlib.metadata
import json
import os
import pathlib
import platform
import runpy
import shutil
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
TENSORFLOW_RANGE = runpy.run_path(str(ROOT / "tf_style" / "_version.py"))["TENSORFLOW_RANGE"]

_KERNELS = ROOT / "kernels"
_CXX_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-DNDEBUG"]
_AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
_INSTRUCTION_SETS = {  # in `enum class InstructionSet`, without the k, and its flags
    "Portable": [],
    "Avx2": ["-mavx2", "-mfma"],
    "Avx512": _AVX512,
    "Avx512Bf16": [*_AVX512, "-mavx512bf16"],
}
_OPS = ("gram_loss", "conv_relu", "rgb_conv_relu", "multi_vector")
GPU_UNITS = ("gram_loss_gpu", "multi_vector_gpu", "gpu_driver")
_TAKE_FLAGS = """
import json, tensorflow as tf
print(json.dumps([tf.__version__, tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags()]))
"""


class BuildError(Exception):
    """The op cannot be built here; the message says why."""


def mode(variable: str) -> str:
    """The value of TF_STYLE_BUILD_OPS or TF_STYLE_CUDA."""
    value = os.environ.get(variable, "auto")
    if value not in ("auto", "1", "0"):
        raise SystemExit(f"{variable} must be auto, 1 or 0. Received: {value!r}")
    return value


def compiler() -> str | None:
    """The C++ compiler, if there is one."""
    return shutil.which(os.environ.get("CXX", "g++"))


def find_tensorflow() -> str | None:
    """The folder that holds a TensorFlow of the version that this package is made for.

    That of the environment being installed into goes first. A build in isolation runs on that
    environment's interpreter and does not see its packages, but `sysconfig` still knows the folder.
    """
    from packaging.specifiers import SpecifierSet

    for folder in dict.fromkeys([sysconfig.get_path("purelib"), *filter(None, sys.path)]):
        for found in importlib.metadata.distributions(name="tensorflow", path=[folder]):
            if SpecifierSet(TENSORFLOW_RANGE).contains(found.version):
                return folder
    return None


def build(package: pathlib.Path, objects: pathlib.Path) -> None:
    """Puts the op's library, or what is to be known where there is none, into a folder.

    Args:
      package: The folder tf_style/ops. It receives the library and `_build_info.py`, which names
        TensorFlow's version that it was built for.
      objects: The folder for what the compiler leaves on the way.

    Raises:
      BuildError: If TF_STYLE_BUILD_OPS=1 and the op cannot be built.
    """
    package.mkdir(parents=True, exist_ok=True)
    for stale in package.glob("kernels_tf*.so"):
        stale.unlink()
    info = {"TENSORFLOW": "", "BINARY": "", "CUDA_ARCHITECTURES": (), "PROBLEM": ""}
    if mode("TF_STYLE_BUILD_OPS") != "0":
        try:
            info |= _compile(package, objects)
        except BuildError as error:
            if mode("TF_STYLE_BUILD_OPS") == "1":
                raise
            print(f"WARNING: the custom op is left out, and stock ops take its place: {error}")
            info["PROBLEM"] = str(error).splitlines()[0]
    lines = [f"{name} = {value!r}\n" for name, value in info.items()]
    header = '"""Written by the build: what the custom op was built for, or why it was not."""\n\n'
    (package / "_build_info.py").write_text(header + "".join(lines))


def kernel_units() -> dict[str, list[str]]:
    """What the compiler gets, beside common flags, for each object file that needs no TensorFlow."""
    units = {"instruction_set": [_source("instruction_set.cc")]}
    for op in _OPS:
        units[f"{op}_cpu"] = [_source(f"{op}_cpu.cc")]
        for name, flags in _INSTRUCTION_SETS.items():
            if name == "Portable" or platform.machine() in ("x86_64", "AMD64"):
                units[f"{op}_{name}"] = [*flags, f"-DTF_STYLE_ISA=k{name}", _source(f"{op}_simd.cc")]
    return units


def _compile(package: pathlib.Path, objects: pathlib.Path) -> dict[str, object]:
    cxx = compiler()
    if cxx is None:
        raise BuildError(f"there is no C++ compiler {os.environ.get('CXX', 'g++')!r} on the PATH")
    version, compile_flags, link_flags = _tensorflow_flags()
    architectures = _cuda_architectures()
    flags = [*_CXX_FLAGS, *(["-DTF_STYLE_CUDA"] if architectures else [])]
    jobs = {
        # TensorFlow's headers go in as a system's: their warnings are not ours.
        **{
            op: [cxx, *flags, *_as_system_headers(compile_flags), "-c", _source(f"{op}_op.cc")]
            for op in _OPS
        },
        **{name: [cxx, *flags, "-c", *unit] for name, unit in kernel_units().items()},
    }
    if architectures:
        nvcc = ["nvcc", *_nvcc_flags(cxx, architectures), "-c"]
        jobs |= {name: [*nvcc, _source(f"{name}.cu")] for name in GPU_UNITS}
    objects.mkdir(parents=True, exist_ok=True)
    outputs = [str(objects / f"{name}.o") for name in jobs]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        commands = [[*job, "-o", out] for job, out in zip(jobs.values(), outputs, strict=True)]
        list(pool.map(_run, commands))
    binary = f"kernels_tf{'.'.join(version.split('.')[:2])}.so"
    linker = [cxx, "-shared", "-o", str(package / binary), *outputs]
    if architectures:
        # nvcc knows where CUDA's static run time is. It goes before TensorFlow, which exports the same
        # names for the CUDA that it was built with; inside, it needs no CUDA on the machine to load.
        linker = ["nvcc", "-ccbin", *linker, "-lcudart_static", "-Xlinker", "--exclude-libs=ALL"]
    _run([*linker, *link_flags])
    return {
        "TENSORFLOW": version,
        "BINARY": binary,
        "CUDA_ARCHITECTURES": tuple(architectures),
    }


def _source(name: str) -> str:
    return str(_KERNELS / name)


def _nvcc_flags(cxx: str, architectures: list[str]) -> list[str]:
    flags = ["-std=c++17", "-O3", "-ccbin", cxx, "-Xcompiler", "-fPIC,-fvisibility=hidden"]
    for name in architectures:
        virtual = name.replace("sm_", "compute_")
        flags += ["-gencode", f"arch={virtual},code={name}"]
    return flags


def _cuda_architectures() -> list[str]:
    if mode("TF_STYLE_CUDA") == "0":
        return []
    if shutil.which("nvcc") is None:
        if mode("TF_STYLE_CUDA") == "1":
            raise BuildError("TF_STYLE_CUDA=1, and there is no nvcc on the PATH")
        return []
    return os.environ.get("TF_STYLE_CUDA_ARCHITECTURES", "sm_80,sm_90,compute_90").split(",")


def _as_system_headers(flags: list[str]) -> list[str]:
    return ["-isystem" + flag[2:] if flag.startswith("-I") else flag for flag in flags]


def _tensorflow_flags() -> tuple[str, list[str], list[str]]:
    folder = find_tensorflow()
    if folder is None:
        raise BuildError(f"there is no TensorFlow {TENSORFLOW_RANGE} to build for")
    # In a process of its own: TensorFlow must not come into pip's, and isolation must stay outside.
    environment = {**os.environ, "PYTHONPATH": folder, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = _run([sys.executable, "-c", _TAKE_FLAGS], environment)
    return tuple(json.loads(output.splitlines()[-1]))


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    print(" ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed\n{done.stderr.strip()}")
    sys.stderr.write(done.stderr)
    return done.stdout


def main() -> int:
    """Builds the op in place, for a checkout."""
    try:
        build(ROOT / "tf_style" / "ops", ROOT / "build" / "ops")
    except BuildError as error:
        print(f"The custom op cannot be built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
