"""What libraries print on standard error is kept, and shown where something goes wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from ray_jobs.cli.apart import stderr_apart
with stderr_apart({verbose}):
    os.write(2, b"noise of a library\\n")
    os.system("echo noise of a process >&2")
    print("our own line", file=sys.stderr)
    {end}
print("afterwards", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("verbose", "end", "shown"), [(False, "pass", False), (True, "pass", True), (False, "raise ValueError", True)]
)
def test_noise_is_kept_apart(verbose: bool, end: str, shown: bool) -> None:
    program = PROGRAM.format(verbose=verbose, end=end)
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stderr
    assert "our own line" in told
    assert ("noise of a library" in told) is shown
    assert ("noise of a process" in told) is shown
    assert ("afterwards" in told) is (end == "pass")
