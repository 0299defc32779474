"""Commands that only read an output, or make files of it, load no Ray: it takes seconds, and a laptop may lack it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OUTPUTS = ROOT / "tests" / "fixtures" / "outputs"
COMMANDS = [
    ["status", "evol_instruct/out"],
    ["status", "autoif/stopped"],
    ["show", "evol_instruct/out"],
    ["verify", "autoif/out"],
    ["select", "evol_instruct/out", "best", "--by", "ic_ifd", "--top", "5"],
    ["export", "evol_instruct/out", "sft", "--format", "alpaca"],
    ["report", "evol_instruct/out", "--to", "page"],
]
# all in one process, for what one has loaded stays loaded
PROGRAM = """
import json, sys
from ray_jobs.cli import main
for command in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as ended:
        assert not ended.code, (command, ended.code)
    assert "ray" not in sys.modules, ("ray was imported", command)
    print("done:", *command)
"""


@pytest.mark.slow
def test_readers_of_an_output_load_no_ray(tmp_path: Path) -> None:
    for name in ("autoif", "evol_instruct"):
        shutil.copytree(OUTPUTS / name, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done: ") == len(COMMANDS)
