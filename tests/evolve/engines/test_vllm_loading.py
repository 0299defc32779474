"""Why a model cannot be loaded, out of what the engine's processes wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from evolve.engines.vllm_loading import root_cause

SAID = """\
ERROR 01-02 15:01:17 [executor.py:944] Traceback (most recent call last):
ERROR 01-02 15:01:17 [executor.py:944]     raise ValueError(
ERROR 01-02 15:01:17 [executor.py:944] ValueError: Available memory on node 0 is less than desired (0.92, 21.66 GiB).
(EngineCore pid=7) ERROR 01-02 15:01:19 [core.py:13] Exception: WorkerProc failed. See stack trace for root cause.
"""
SCRIPT = """
import subprocess, sys
from evolve.engines.vllm_loading import told_why
print("ValueError: what was before")
sys.stdout.flush()
with told_why():
    subprocess.run([sys.executable, "-c", sys.argv[1]])
    raise RuntimeError("Engine core initialization failed. See root cause above.")
"""


def test_the_first_exception_that_is_no_hint_is_the_cause() -> None:
    assert root_cause(SAID) == "ValueError: Available memory on node 0 is less than desired (0.92, 21.66 GiB)."
    assert root_cause("torch.OutOfMemoryError: CUDA out of memory.\n") == "torch.OutOfMemoryError: CUDA out of memory."
    assert root_cause("all is well\n") is None


def test_what_processes_write_into_a_file_is_told(tmp_path: Path) -> None:
    def last_line(child: str) -> str:
        with (tmp_path / "out").open("w") as output:
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, child], stdout=output, stderr=subprocess.PIPE, text=True, check=False
            )
        return done.stderr.splitlines()[-1]

    assert last_line(f"print({SAID!r})").startswith("RuntimeError: ValueError: Available memory")
    assert "initialization failed" in last_line("pass")
