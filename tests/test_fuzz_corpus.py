"""What fuzzing started from and found, replayed."""

import pathlib
import sys
import warnings

import pytest

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "fuzz"))

from targets import TARGETS  # noqa: E402

CASES = sorted((ROOT / "tests" / "corpus").glob("*/*"))


def test_each_target_has_cases():
    assert {path.parent.name for path in CASES} == set(TARGETS)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_case(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        TARGETS[path.parent.name](path.read_bytes())
