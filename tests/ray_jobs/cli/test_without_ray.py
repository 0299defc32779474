"""Commands that only read an output, or make files of it, load no Ray: it takes seconds, and a laptop may lack it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OUTPUTS = ROOT / "tests" / "fixtures" / "outputs"
PROGRAM = """
import sys
from ray_jobs.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
assert "ray" not in sys.modules, "ray was imported"
"""


@pytest.mark.parametrize(
    "command",
    [
        ["status", "evol_instruct/out"],
        ["status", "autoif/stopped"],
        ["show", "evol_instruct/out"],
        ["verify", "autoif/out"],
        ["select", "evol_instruct/out", "best", "--by", "ic_ifd", "--top", "5"],
        ["export", "evol_instruct/out", "sft", "--format", "alpaca"],
        ["report", "evol_instruct/out", "--to", "page"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_readers_of_an_output_load_no_ray(command: list[str], tmp_path: Path) -> None:
    shutil.copytree(OUTPUTS / command[1].split("/")[0], tmp_path / command[1].split("/")[0])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
