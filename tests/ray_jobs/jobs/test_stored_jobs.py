"""Which jobs an output stands for, and which folders stand for none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ray_jobs.cli.app import main
from ray_jobs.errors import OutputError, SettingsChanged
from ray_jobs.jobs.registry import stored_jobs
from ray_jobs.storage.store import open_store

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "outputs"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("phase", ["augment", "instructions"])
@pytest.mark.parametrize("command", ["repair", "retry-failed"])
def test_a_phase_of_a_run_is_no_output_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, phase: str
) -> None:
    shutil.copytree(OUTPUTS / "autoif" / "out", tmp_path / "out")
    before = files(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([command, str(tmp_path / "out" / phase)])
    assert ended.value.code == OutputError.exit_code
    told = capsys.readouterr().err
    assert "phase" in told
    assert "the one above" in told
    assert files(tmp_path) == before


def test_failed_rows_are_not_run_again_under_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(OUTPUTS / "evol_instruct", tmp_path, dirs_exist_ok=True)
    config = tmp_path / "run.yaml"
    config.write_text(config.read_text() + "\nseed: 99\n")
    before = files(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["retry-failed", str(tmp_path / "out"), "--config", str(config)])
    assert ended.value.code == SettingsChanged.exit_code
    assert "99 now" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_the_last_phase_without_the_others_and_a_job_of_elsewhere_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(OUTPUTS / "autoif" / "out", out)
    shutil.rmtree(out / "augment")
    with pytest.raises(OutputError, match=r"phase of an AutoIF run \(autoif\)"):
        stored_jobs(open_store(str(out)), str(out), {})
    stored = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(stored | {"kind": "of_tomorrow"}))
    with pytest.raises(OutputError, match="job of_tomorrow, expected one of synthesis"):
        stored_jobs(open_store(str(out)), str(out), {})
