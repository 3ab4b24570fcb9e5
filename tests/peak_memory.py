"""The most memory that a command takes, for tests and `benchmarks/`."""

import pathlib
import subprocess
import sys
from collections.abc import Sequence

# A process begins as a copy of its parent, and its peak counts from there: so a small one is put
# between. It ends as the command does, and adds a line to what that printed.
_BETWEEN = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def run(
    command: Sequence[str], *, cwd: pathlib.Path | None = None
) -> tuple[subprocess.CompletedProcess[str], int]:
    """What `subprocess.run` gives, output as text, and the peak resident size in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", _BETWEEN, *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    printed, peak = done.stdout.rstrip("\n").rpartition("\n")[::2]
    done.stdout = printed
    unit = 1024 if sys.platform == "linux" else 1  # macOS counts in bytes.
    return done, unit * int(peak)
