"""The parts of the package's metadata that follow from tf_style/_version.py."""

import pathlib
import runpy

from setuptools import setup

version = runpy.run_path(str(pathlib.Path(__file__).parent / "tf_style" / "_version.py"))
tensorflow_range = version["TENSORFLOW_RANGE"]

setup(
    version=version["__version__"],
    install_requires=[
        f"tensorflow{tensorflow_range}",
        # TensorFlow Probability needs Keras 2's code beside Keras 3.
        f"tf-keras{tensorflow_range}",
        "tensorflow-probability>=0.25,<0.26",
        "keras>=3.13.2",
        "h5py",
        "numpy",
        "pillow>=12.1.1,<14",
        "absl-py",
        "rich",
        # TensorFlow Probability imports distutils, which Python 3.12 dropped and setuptools brings.
        "setuptools; python_version >= '3.12'",
    ],
    extras_require={
        "gpu": [f"tensorflow[and-cuda]{tensorflow_range}"],
        "test": ["pytest==9.2.0"],
        "dev": ["pytest==9.2.0", "ruff==0.17.6", "pyright==1.1.414", "clang-format==23.1.5"],
    },
)
