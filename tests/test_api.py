"""The public names."""

import subprocess
import sys

import tf_style


def test_names_are_sorted_and_all_there():
    assert tf_style.__all__ == sorted(
        tf_style.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    for name in tf_style.__all__:
        assert getattr(tf_style, name) is not None
    assert set(tf_style.__all__) == {*tf_style._PLACES, "__version__"}


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(tf_style, "style_transfer")


def test_importing_the_package_does_not_import_tensorflow():
    code = "import sys, tf_style, tf_style.commands.stylize; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
