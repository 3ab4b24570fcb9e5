"""The metadata that follows from tf_style/_version.py, and the custom op's build."""

import pathlib
import runpy
import sys

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "build_backend"))

import compile_ops  # noqa: E402

version = runpy.run_path(str(ROOT / "tf_style" / "_version.py"))
tensorflow_range = version["TENSORFLOW_RANGE"]
RAY = "ray>=2.60,<3"
VIDEO = ["av>=17,<19", "opencv-python-headless>=4.10"]
WEB = ["starlette>=1.0,<2", "uvicorn>=0.40"]


class BuildOps(Command):
    """Compiles the custom op, as a part of `build`."""

    description = "compile the custom op"
    user_options = []  # noqa: RUF012

    def initialize_options(self):
        """Sets what setuptools fills in."""
        self.editable_mode = False
        self.build_lib = None
        self.build_temp = None

    def finalize_options(self):
        """Takes the folders of the `build` command."""
        self.set_undefined_options("build", ("build_lib", "build_lib"), ("build_temp", "build_temp"))

    def run(self):
        """Builds the op, or leaves it out."""
        try:
            compile_ops.build(self._package(), pathlib.Path(self.build_temp) / "ops")
        except compile_ops.BuildError as error:
            raise SystemExit(f"The custom op cannot be built: {error}") from error

    def get_outputs(self):
        """What setuptools counts as this command's: the library's name follows from TensorFlow."""
        return [str(path) for path in self._package().glob("kernels_tf*.so")]

    def get_output_mapping(self):
        """No output stands for a file of the source tree."""
        return {}

    def get_source_files(self):
        """What a source distribution needs."""
        folders = ("kernels/*", "build_backend/*.py")
        return [str(path.relative_to(ROOT)) for folder in folders for path in ROOT.glob(folder)]

    def _package(self):
        return (ROOT if self.editable_mode else pathlib.Path(self.build_lib)) / "tf_style" / "ops"


class Wheel(bdist_wheel):
    """A wheel for any Python 3: the library has no Python in it."""

    def get_tag(self):
        """The wheel's tag."""
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    """A distribution for one platform, wherever the op may be built."""

    def has_ext_modules(self):
        """Decides between a wheel for one platform and one for all."""
        return compile_ops.mode("TF_STYLE_BUILD_OPS") != "0" and compile_ops.compiler() is not None


build.sub_commands = [*build.sub_commands, ("build_ops", None)]

setup(
    version=version["__version__"],
    distclass=PlatformDistribution,
    cmdclass={"build_ops": BuildOps, "bdist_wheel": Wheel},
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
        "ray": [RAY],
        "video": VIDEO,
        "web": WEB,
        "test": [
            "pytest==9.2.0",
            "psutil",
            "pytest-xdist==3.8.0",
            "scipy",
            "kserve==0.21.0",
            "tensorflow-serving-api==2.21.0",
            RAY,
            *VIDEO,
            *WEB,
            # The studio's page, in Debian's Chromium.
            "playwright>=1.55",
            "axe-playwright-python>=0.1.8",
        ],
        "dev": [
            "pytest==9.2.0",
            "pytest-xdist==3.8.0",
            "ruff==0.17.6",
            "pyright==1.1.414",
            "clang-format==23.1.5",
        ],
    },
)
