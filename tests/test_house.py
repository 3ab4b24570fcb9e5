"""The package's layout: which folder may import which, and which modules do without TensorFlow."""

import ast
import pathlib
import subprocess
import sys
import tomllib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "tf_style"
# Each folder, or module of the package itself, imports from those after it alone, or from itself.
# `network`, `optimize` and `images` stand on one floor and know nothing of each other, and so do
# `serve` and `video`.
FLOORS = (
    ("web",),
    ("commands",),
    ("serve", "video"),
    ("student",),
    ("embed",),
    ("transfer",),
    ("objective",),
    ("network", "optimize", "images"),
    ("ops",),
    ("files", "forks", "host", "keras_on_tensorflow"),
    ("errors", "_version"),
)
# `stylize --help`, a refused request and the process that decodes pictures load no TensorFlow.
WITHOUT_TENSORFLOW = (
    "commands.file_roles",
    "commands.flags",
    "commands.jobs",
    "commands.messages",
    "commands.outputs",
    "commands.pairs",
    "commands.provenance",
    "commands.records",
    "commands.request",
    "commands.runner",
    "commands.sandbox",
    "commands.style_flags",
    "commands.stylize",
    "commands.stylize_batch",
    "commands.stylize_export",
    "commands.student_picture",
    "commands.stylize_run",
    "commands.stylize_train",
    "commands.stylize_video",
    "commands.train_run",
    "commands.video_output",
    "commands.video_progress",
    "commands.video_request",
    "commands.video_run",
    "errors",
    "files",
    "forks",
    "host",
    "images.colour",
    "images.colour_tags",
    "images.headers",
    "images.icc",
    "images.picture",
    "images.reading",
    "images.samples",
    "images.tiff",
    "images.writing",
    "network.architecture",
    "network.weights",
    "objective.presets",
    "objective.scales",
    "objective.tile_plan",
    "student.effects",
    "student.files",
    "student.memory",
    "student.photographs",
    "student.plan",
    "student.prepare",
    "student.progress",
    "student.shape",
    "student.stored",
    "transfer.checkpoint",
    "transfer.checkpoint_lock",
    "transfer.effects",
    "transfer.format_1",
    "transfer.memory",
    "transfer.prepare",
    "transfer.pyramid",
    "transfer.setting_fields",
    "transfer.settings",
    "video.clip",
    "video.colour",
    "video.flow",
    "video.frame_inputs",
    "video.history",
    "video.masks",
    "video.opening",
    "video.options",
    "video.reading",
    "video.reliability",
    "video.sequence",
    "video.shot",
    "video.sound",
    "video.work",
    "video.writing",
    "web.app",
    "web.asked",
    "web.events",
    "web.pace",
    "web.previews",
    "web.run",
    "web.security",
    "web.store",
    "web.studio",
    "web.stylize_web",
    "web.worker",
    "web.worker_process",
)
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    # The package's own names, and what the build writes.
    if path != PACKAGE / "__init__.py" and path.name != "_build_info.py"
}


def imports(path):
    """The package's modules that a file imports, anywhere in it, without the package's name."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("tf_style.") for name in names if name.startswith("tf_style."))


def floor(room):
    (found,) = (index for index, rooms in enumerate(FLOORS) if room in rooms)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_arrows_go_down(module):
    room = module.split(".")[0]
    for imported in imports(MODULES[module]):
        other = imported.split(".")[0]
        assert other == room or floor(other) > floor(room), f"{module} imports {imported}"


def test_keras_comes_from_one_module_which_sees_to_its_backend():
    users = [module for module, path in MODULES.items() if "import keras\n" in path.read_text()]
    assert "keras_on_tensorflow" in users
    for module in users:
        lines = [line.strip() for line in MODULES[module].read_text().splitlines()]
        assert ("import keras" in lines) == (module == "keras_on_tensorflow"), module


def test_modules_without_tensorflow_load_without_it():
    assert set(WITHOUT_TENSORFLOW) <= set(MODULES)
    code = f"""
import importlib, sys
for module in {WITHOUT_TENSORFLOW!r}:
    importlib.import_module("tf_style." + module)
    if "tensorflow" in sys.modules or "keras" in sys.modules:
        sys.exit(f"{{module}} imports TensorFlow")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pyright_checks_the_modules_without_tensorflow():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    included = project["tool"]["pyright"]["include"]
    for module in WITHOUT_TENSORFLOW:
        path = f"tf_style/{module.replace('.', '/')}.py"
        assert any(path == each or path.startswith(f"{each}/") for each in included), module
