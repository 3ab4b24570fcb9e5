"""setuptools' build backend, which asks for TensorFlow where it has none to build the op for."""

import compile_ops
from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    """What a wheel's build needs beside build-system.requires."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _tensorflow()


def get_requires_for_build_editable(config_settings=None) -> list[str]:
    """What an editable build needs beside build-system.requires."""
    return build_meta.get_requires_for_build_editable(config_settings) + _tensorflow()


def _tensorflow() -> list[str]:
    mode = compile_ops.mode("TF_STYLE_BUILD_OPS")
    if mode == "0" or (mode == "auto" and compile_ops.compiler() is None):
        return []
    if compile_ops.find_tensorflow() is not None:
        return []
    return [f"tensorflow{compile_ops.TENSORFLOW_RANGE}"]
