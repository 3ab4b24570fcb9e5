"""The build of the custom op: what it looks for, what it asks for, what it leaves behind."""

import pathlib
import runpy
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "build_backend"))

import compile_ops  # noqa: E402


@pytest.fixture
def settings(monkeypatch):
    """An environment in which nothing about the build is set."""
    for name in ("TF_STYLE_BUILD_OPS", "TF_STYLE_CUDA", "TF_STYLE_CUDA_ARCHITECTURES", "CXX"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def build_info(folder):
    return runpy.run_path(str(folder / "tf_style" / "_build_info.py"))


def build(folder):
    compile_ops.build(folder / "tf_style", folder / "objects")


def test_finds_the_tensorflow_of_this_environment(settings):
    folder = compile_ops.find_tensorflow()
    assert folder is not None
    assert (pathlib.Path(folder) / "tensorflow" / "include").is_dir()


def test_finds_it_where_isolation_hides_it(settings):
    folder = compile_ops.find_tensorflow()
    settings.setattr(sys, "path", [])
    settings.setattr(compile_ops.sysconfig, "get_path", lambda name: {"purelib": folder}[name])
    assert compile_ops.find_tensorflow() == folder


def test_takes_no_tensorflow_of_another_version(settings):
    settings.setattr(compile_ops, "TENSORFLOW_RANGE", ">=99")
    assert compile_ops.find_tensorflow() is None


def test_asks_for_tensorflow_only_where_there_is_none(settings):
    backend = pytest.importorskip("backend", reason="needs setuptools")
    assert backend._tensorflow() == []
    settings.setattr(compile_ops, "find_tensorflow", lambda: None)
    assert backend._tensorflow() == [f"tensorflow{compile_ops.TENSORFLOW_RANGE}"]
    settings.setenv("CXX", "no-such-compiler")
    assert backend._tensorflow() == []
    settings.setenv("TF_STYLE_BUILD_OPS", "1")
    assert len(backend._tensorflow()) == 1
    settings.setenv("TF_STYLE_BUILD_OPS", "0")
    assert backend._tensorflow() == []


def test_zero_leaves_the_op_out(settings, tmp_path):
    settings.setenv("TF_STYLE_BUILD_OPS", "0")
    build(tmp_path)
    assert build_info(tmp_path)["TENSORFLOW"] == ""
    assert build_info(tmp_path)["PROBLEM"] == ""
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["_build_info.py"]


def test_without_a_compiler_it_warns_and_leaves_the_op_out(settings, tmp_path, capsys):
    settings.setenv("CXX", "no-such-compiler")
    build(tmp_path)
    assert "WARNING: the custom op is left out" in capsys.readouterr().out
    assert "'no-such-compiler'" in build_info(tmp_path)["PROBLEM"]


def test_one_makes_that_an_error(settings, tmp_path):
    settings.setenv("CXX", "no-such-compiler")
    settings.setenv("TF_STYLE_BUILD_OPS", "1")
    with pytest.raises(compile_ops.BuildError, match="no-such-compiler"):
        build(tmp_path)


def test_a_compiler_that_fails(settings, tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho no luck >&2\nexit 1\n")
    compiler.chmod(0o755)
    settings.setenv("CXX", str(compiler))
    settings.setenv("TF_STYLE_BUILD_OPS", "1")
    settings.setenv("TF_STYLE_CUDA", "0")
    with pytest.raises(compile_ops.BuildError, match="no luck"):
        build(tmp_path)


def test_a_stale_library_goes(settings, tmp_path):
    settings.setenv("TF_STYLE_BUILD_OPS", "0")
    stale = tmp_path / "tf_style" / "kernels_tf1.0.so"
    stale.parent.mkdir()
    stale.touch()
    build(tmp_path)
    assert not stale.exists()


def test_a_setting_that_means_nothing(settings):
    settings.setenv("TF_STYLE_BUILD_OPS", "yes")
    with pytest.raises(SystemExit, match="Received: 'yes'"):
        compile_ops.mode("TF_STYLE_BUILD_OPS")


def test_cuda_that_is_asked_for_and_absent(settings):
    settings.setenv("PATH", "")
    assert compile_ops._cuda_architectures() == []
    settings.setenv("TF_STYLE_CUDA", "1")
    with pytest.raises(compile_ops.BuildError, match="no nvcc"):
        compile_ops._cuda_architectures()


def test_cuda_architectures(settings, tmp_path):
    nvcc = tmp_path / "nvcc"
    nvcc.touch(0o755)
    settings.setenv("PATH", str(tmp_path))
    assert compile_ops._cuda_architectures() == ["sm_80", "sm_90", "compute_90"]
    settings.setenv("TF_STYLE_CUDA_ARCHITECTURES", "sm_100")
    flags = compile_ops._nvcc_flags("g++", compile_ops._cuda_architectures())
    assert "arch=compute_100,code=sm_100" in flags
    settings.setenv("TF_STYLE_CUDA", "0")
    assert compile_ops._cuda_architectures() == []


def test_the_command_line_says_why_it_failed(settings, capsys):
    def failing_build(*_):
        raise compile_ops.BuildError("there is no way")

    settings.setattr(compile_ops, "build", failing_build)
    assert compile_ops.main() == 1
    assert "there is no way" in capsys.readouterr().err


def test_kernels_hold_no_code_of_the_standard_library_for_wider_processors(tmp_path):
    """One weak symbol of a file made for AVX-512 could be what every processor gets to run."""
    cxx = compile_ops.compiler()
    if cxx is None:
        pytest.skip("there is no C++ compiler")
    for name, unit in compile_ops.kernel_units().items():
        if not any(flag.startswith("-mavx") for flag in unit):
            continue
        target = tmp_path / f"{name}.o"
        subprocess.run([cxx, "-std=c++17", "-O3", *unit, "-c", "-o", str(target)], check=True)
        symbols = subprocess.run(["nm", "-C", str(target)], capture_output=True, text=True, check=True)
        kinds = [line.split(maxsplit=2)[1:] for line in symbols.stdout.splitlines() if line[0] == "0"]
        assert [symbol for kind, symbol in kinds if kind in "WVu"] == []
        assert len([symbol for kind, symbol in kinds if kind == "T"]) == 1
