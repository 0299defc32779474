"""--json: one document on standard output, and the exit code of the plain command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.cli.app import main

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "outputs"


def evolve(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--json"])
    return int(left.value.code or 0), json.loads(capsys.readouterr().out)


def test_status_and_verify_tell_the_same_rows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = next(OUTPUTS.glob("evol_instruct/**/run.json")).parent
    shutil.copytree(output, tmp_path / "run")
    code, state = evolve(capsys, "status", str(tmp_path / "run"))
    assert code == 0
    phase = state["phases"][""]
    assert phase["seeds"]["usable"] > 0
    code, found = evolve(capsys, "verify", str(tmp_path / "run"))
    assert found["phases"][""]["rows"] == phase["rows"]["planned"]
    assert found["phases"][""]["done"] == phase["rows"]["done"]
    assert found["sound"] is (code == 0)


@pytest.mark.parametrize(("command", "kind", "code"), [("status", "OutputError", 5), ("verify", "OutputError", 5)])
def test_an_error_is_a_document(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, kind: str, code: int
) -> None:
    left, document = evolve(capsys, command, str(tmp_path))
    assert left == code == document["error"]["exit_code"]
    assert document["error"]["kind"] == kind


def test_a_wrong_field_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("strategy: {kind: evol_instruct, rounds: none}\n")
    code, document = evolve(capsys, "validate", str(tmp_path / "run.yaml"))
    assert code == 2
    assert "strategy.rounds" in document["error"]["message"]
