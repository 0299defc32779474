"""What a terminal would obey is shown."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from ray_jobs.cli.terminal import complain, log_handler, pass_on, say
from ray_jobs.errors import StorageError
from ray_jobs.output.printable import printable, printable_values

HOSTILE = "a\x1b[31mred\x1b[0m \x9b2J \u202egnp.exe\u2066 \r\x07\x7f \ud800 tab\t line\n"
SHOWN = "a\\x1b[31mred\\x1b[0m \\x9b2J \\u202egnp.exe\\u2066 \\r\\x07\\x7f \\ud800 tab\t line\n"


def test_control_characters_are_shown() -> None:
    assert printable(HOSTILE) == SHOWN
    plain = "Grüße, שלום, 你好, 🙂\u200d, e\u0301"
    assert printable(plain) == plain
    assert printable_values({"a\x1b": [HOSTILE, 1, {"b": None}]}) == {"a\\x1b": [SHOWN, 1, {"b": None}]}


def test_lines_errors_and_logs_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    complain(StorageError(HOSTILE))
    handler = log_handler()
    handler.emit(logging.makeLogRecord({"msg": "%s", "args": (HOSTILE,), "levelname": "WARNING", "name": "x"}))
    out, err = capsys.readouterr()
    assert out == f"{SHOWN}\n"
    assert f"error: {SHOWN}\n" in err
    assert f"WARNING x: {SHOWN}\n" in err


def test_the_log_of_a_job_keeps_its_colours_alone(capsys: pytest.CaptureFixture[str]) -> None:
    pass_on("\x1b[36m(pid=1)\x1b[0m \x1b[2J\x1b]0;title\x07 done\n")
    assert "\\x1b[2J\\x1b]0;title\\x07 done\n" in capsys.readouterr().out


@pytest.mark.slow
def test_an_error_of_a_command_is_escaped(tmp_path: Path) -> None:
    config = tmp_path / "run\x1b[31m.yaml"
    config.write_text('{"output": "\\u001b[31mred"}')
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs.cli", "validate", str(config)], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"run\\x1b[31m.yaml" in done.stderr
    assert b"\x1b" not in done.stderr
