"""What a run does at its end: steps in order, once, and none of them can undo the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from ray_jobs.errors import ConfigError, OutputError
from ray_jobs.jobs.finish import check_finish, finish
from ray_jobs.jobs.finish_config import FinishingRunConfig
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run
from tests.ray_jobs.samples import run_config, write_seeds

JUDGE = {"engine": {"kind": "scripted", "reply": "judge"}, "pool": {"batch_rows": 8}}


def configured(folder: Path, *steps: dict[str, Any]) -> FinishingRunConfig:
    """A run of two scripted evolvers as read from a file, with these steps."""
    raw = run_config(folder, strategy={"rounds": 1}).model_dump(mode="json")
    (folder / "run.yaml").write_text(yaml.safe_dump(raw | {"finish": list(steps)}))
    return load_config(folder / "run.yaml")


def selection(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"kind": "select", "target": str(folder / "best"), "by": "difficulty_level", "top": 3} | changes


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"kind": "select", "target": "x", "by": "ifd", "top": "25"}, None),
        ({"kind": "select", "target": "x", "by": "ifd"}, r"finish\.0: expected top or range, and not both"),
        ({"kind": "select", "target": "x", "by": "ifd", "top": "many"}, r"finish\.0: top many: expected a number"),
        (
            {"kind": "select", "target": "x", "by": "ifd", "tpo": 3},
            r"finish\.0\.tpo: unknown field; did you mean top\?",
        ),
        ({"kind": "difficulty"}, r"finish\.0\.judge: is missing"),
        ({"kind": "difficulty", "judge": {"engine": {"model": 3}}}, r"finish\.0\.judge\.engine\.model: "),
        ({"kind": "plot"}, r"finish\.0\.kind: expected one of .*'difficulty'.*'select'.*, got 'plot'"),
    ],
)
def test_steps_are_checked_as_they_are_read(tmp_path: Path, step: dict[str, Any], message: str | None) -> None:
    if message is None:
        configured(tmp_path, step)
        return
    with pytest.raises(ConfigError, match=message):
        configured(tmp_path, step)


def test_models_and_templates_of_steps_are_checked_before_the_run(tmp_path: Path) -> None:
    absent = {"engine": {"model": "/absent/model"}}
    with pytest.raises(ConfigError, match=r"finish\.1: judge\.engine\.model: there is no folder /absent/model"):
        check_finish(configured(tmp_path, {"kind": "top1"}, {"kind": "win", "judge": absent}))
    with pytest.raises(ConfigError, match=r"finish\.0: encoder\.model: there is no folder"):
        check_finish(configured(tmp_path, {"kind": "diversity", "encoder": {"model": "/absent/model"}}))
    with pytest.raises(ConfigError, match=r"finish\.0: templates: .*expected a folder of templates"):
        check_finish(configured(tmp_path, {"kind": "difficulty", "judge": JUDGE, "templates": str(tmp_path / "no")}))
    with pytest.raises(ConfigError, match=r"finish\.0: baseline: expected one of a, b, got c"):
        check_finish(configured(tmp_path, {"kind": "report", "baseline": "c"}))


@pytest.mark.parametrize("target", ["out", "out/best", ".", "mine"])
def test_targets_of_steps_are_checked_before_the_run(tmp_path: Path, target: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    with pytest.raises(OutputError, match=r"finish\.0: .*place"):
        check_finish(configured(tmp_path, selection(tmp_path, target=str(tmp_path / target))))


@pytest.mark.usefixtures("local_ray")
def test_steps_follow_the_run_once_and_their_failures_do_not_undo_it(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", [f"Count to {number}." for number in range(8)])
    steps = [
        {"kind": "difficulty", "judge": JUDGE},
        selection(tmp_path, by="no_such_score", target=str(tmp_path / "none")),
        {"kind": "top1"},
        selection(tmp_path),
        {"kind": "report", "baseline": "b"},
    ]
    config = configured(tmp_path, *steps)
    check_finish(config)
    run(SynthesisJob(config), say=lambda _: None)
    said: list[str] = []
    with pytest.raises(ConfigError, match=r"the run is finished, but finish\.1, select, failed: --by no_such_score"):
        finish(config, say=said.append)
    output = tmp_path / "out"
    assert (output / "_SUCCESS").exists()
    assert {path.name for path in (output / "analyses").iterdir()} == {"difficulty", "top1"}
    assert "<html" in (output / "report/index.html").read_text()
    levels = ds.dataset(output / "analyses/difficulty/data").to_table().to_pylist()
    level = {level["record_id"]: level["difficulty_level"] for level in levels if level["round"]}
    best = ds.dataset(tmp_path / "best/data").to_table()["record_id"].to_pylist()
    assert sorted(level[item] for item in best) == sorted(level.values())[-3:]
    # other steps are no other run, and what is there is left as it is
    parts = sorted(path.name for path in (output / "analyses/difficulty/data").iterdir())
    again = configured(tmp_path, steps[0], steps[3])
    run(SynthesisJob(again), say=lambda _: None)
    said.clear()
    finish(again, say=said.append)
    assert any("is there already" in line for line in said)
    assert sorted(path.name for path in (output / "analyses/difficulty/data").iterdir()) == parts
    with pytest.raises(OutputError, match="expected an empty or a new folder"):
        finish(configured(tmp_path, selection(tmp_path, top=5)), say=said.append)
