"""Keeps a process from starting Ray. Python reads this as it starts wherever this folder is on PYTHONPATH.

tests/marks.py puts it there for what tests without the mark `ray` start, and uses it in the tests' own process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

FORBIDDEN = "TESTS_WITHOUT_RAY"
"""Of the environment: set while Ray may not be started."""
SERVERS = {"gcs_server", "raylet"}


def forbid(event: str, arguments: Sequence[Any]) -> None:
    """An audit hook: raises RuntimeError where this process is about to start one of Ray's servers."""
    if event != "subprocess.Popen" or FORBIDDEN not in os.environ:
        return
    command = arguments[1]
    program = command if isinstance(command, (str, bytes, os.PathLike)) else next(iter(command), "")
    if PurePath(os.fsdecode(program)).name in SERVERS:
        raise RuntimeError("a test without the mark `ray` starts Ray: give it the mark, or a fixture that has it")


if FORBIDDEN in os.environ:
    sys.addaudithook(forbid)
