"""The command `evolve analyse`: what it says, and what it refuses before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ray_jobs.cli.app import main
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import record, write_output


def left(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        main(["analyse", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def output(tmp_path: Path) -> str:
    counts = {"top1_counts_first": [5, *[0] * 19], "top1_counts_rest": [*[0] * 19, 2]}
    records = [record(number, mean_top1_prob=number / 60, **counts) for number in range(60)]
    write_output(open_store(str(tmp_path / "run")), [records])
    return str(tmp_path / "run")


def test_a_summary_is_printed_and_written(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert left(output, "top1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("large, round 1: n 10, mean top1 prob 0.5000 (0.")
    assert lines[-1] == f"output: {output}/analyses/top1"
    summary = json.loads((Path(output) / "analyses/top1/summary.json").read_text())
    assert len(summary) == len(lines) - 1 == 6
    assert (Path(output) / "analyses/top1/_SUCCESS").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["depth"], "analysis.kind: expected one of 'difficulty', 'difficulty_score'"),
        (["difficulty"], "analysis.judge: is missing"),
        (["top1", "--set", "judge.engine.model=x"], "analysis.judge: unknown field (allowed: kind)"),
        (["diversity", "--set", "encoder.model=/absent/model"], "encoder.model: there is no folder /absent/model"),
        (["difficulty", "--set", "judge.engine.model=/absent/model"], "judge.engine.model: there is no folder"),
        (["reward", "--set", "reward.model=/absent/model"], "reward.model: there is no folder /absent/model"),
        (["win", "--config", "/absent/judge.yaml"], "/absent/judge.yaml: cannot be read"),
    ],
)
def test_wrong_settings_are_told(
    output: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert left(output, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (Path(output) / "analyses").exists()


def test_a_folder_that_is_no_output_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert left(str(tmp_path), "trajectories") == 5
    assert "expected the output of a run" in capsys.readouterr().err


def test_an_unfinished_source_is_told(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(output) / "_SUCCESS").unlink()
    assert left(output, "trajectories") == 0
    assert "not finished" in capsys.readouterr().out
