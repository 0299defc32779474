"""What C code writes on standard error is kept apart from what Python does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ray_jobs.runner.native_errors import native_errors_in


def test_what_c_code_says_goes_elsewhere_and_what_python_says_does_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sys.stderr
    with (tmp_path / "log").open("wb") as log, native_errors_in(log.fileno()):
        os.write(2, b"logging.cc:303: Set ray log level\n")
        print("SIGINT: finishing", file=sys.stderr)
    os.write(2, b"after\n")
    assert sys.stderr is before
    assert (tmp_path / "log").read_text() == "logging.cc:303: Set ray log level\n"
    assert capfd.readouterr().err == "SIGINT: finishing\nafter\n"
