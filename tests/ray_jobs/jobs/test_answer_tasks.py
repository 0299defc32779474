"""Instructions that exist already, answered by another responder: once each, scored, resumable."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from evolve.final_answers import final_answer
from ray_jobs.cli.app import main
from ray_jobs.config.run import RespondConfig
from ray_jobs.errors import ConfigError, SettingsChanged, Stopped
from ray_jobs.jobs.answer_tasks import AnswerTasksJob
from ray_jobs.jobs.registry import stored_jobs
from ray_jobs.output.verify import verify
from ray_jobs.runner.run import resume, run
from ray_jobs.storage.store import open_store
from tests.ray_jobs.samples import write_seeds

TASKS = [
    {"instruction": "Add 2 and 2.", "output": "5"},
    {"instruction": "Sort these.", "input": "b a", "output": "a b"},
    {"instruction": "Add 2 and 2.", "output": "4"},
]


def job(folder: Path, model: str = "first", **settings: Any) -> AnswerTasksJob:
    raw = {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "tasks.jsonl")},
        "responder": {
            "engine": {"kind": "scripted", "model": model, "call_log": str(folder / "calls")},
            "pool": {"batch_rows": 4},
        },
        "scorer": {"kind": "scripted"},
    }
    return AnswerTasksJob(RespondConfig.model_validate(raw | settings))


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().split())


@pytest.mark.usefixtures("local_ray")
def test_every_instruction_is_answered_and_scored_once_and_the_same_call_goes_on(tmp_path: Path) -> None:
    write_seeds(tmp_path / "tasks.jsonl", TASKS)
    report = run(job(tmp_path), say=lambda _: None)
    assert report["records"] == {"planned": 2, "kept": 2, "rejected": 0, "failed": 0}
    assert calls(tmp_path) == 2
    write_seeds(tmp_path / "tasks.jsonl", [*TASKS, {"instruction": "Add 3 and 3."}])
    assert run(job(tmp_path), say=lambda _: None)["records"]["kept"] == 3
    assert calls(tmp_path) == 3
    found = ds.dataset(tmp_path / "out" / "data").to_table().sort_by("plan_row").to_pylist()
    assert [(item["instruction"], item["input"]) for item in found] == [
        ("Add 2 and 2.", ""),
        ("Sort these.", "b a"),
        ("Add 3 and 3.", ""),
    ]
    assert not {item["output"] for item in found} & {"4", "5", "a b"}
    assert {item["responder_model"] for item in found} == {"first"}
    assert {(item["evolver"], item["round"]) for item in found} == {(None, 0)}
    assert all(item["ic_ifd"] is not None for item in found)
    assert [item["seed_output"] for item in found] == ["5", "a b", None]
    right = int(final_answer(found[0]["output"]) == "5")
    assert [item["reference_match"] for item in found] == [right, None, None]
    output = str(tmp_path / "out")
    assert verify(open_store(output)).finished
    again = resume(*stored_jobs(open_store(output), output, {}), say=lambda _: None)
    assert again["records"]["kept"] == 3
    with pytest.raises(SettingsChanged, match=r"responder\.engine\.model"):
        run(job(tmp_path, model="second"), say=lambda _: None)


@pytest.mark.usefixtures("local_ray")
def test_a_stop_lets_rows_in_flight_finish_and_begins_no_more(tmp_path: Path) -> None:
    count = 400
    write_seeds(tmp_path / "tasks.jsonl", [{"instruction": f"Add {number} and 1."} for number in range(count)])
    engine = {"kind": "scripted", "slots": 4, "decode_rate": 20, "call_log": str(tmp_path / "calls")}
    slow = {"engine": engine, "pool": {"size": 1, "batch_rows": 16}}

    def stop_once_asked() -> None:
        while not (tmp_path / "calls").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_once_asked, daemon=True).start()
    with pytest.raises(Stopped):
        run(job(tmp_path, responder=slow), say=lambda _: None)
    asked = calls(tmp_path)
    assert asked < count / 4
    assert ds.dataset(tmp_path / "out" / "data").count_rows() == asked


def test_settings_and_templates_are_those_of_the_responder(tmp_path: Path) -> None:
    write_seeds(tmp_path / "tasks.jsonl", TASKS)
    bare = job(tmp_path).settings()
    assert not {"responder.prompt", "responder.template"} & bare.keys()
    responder = {"engine": {"kind": "scripted"}, "prompt": "paper"}
    assert "responder.template" in job(tmp_path, responder=responder).settings()
    (tmp_path / "own" / "respond").mkdir(parents=True)
    (tmp_path / "own" / "respond" / "paper.txt").write_text("Answer.")
    with pytest.raises(ConfigError, match=r"templates: .*\{instruction\} is missing"):
        job(tmp_path, responder=responder, templates=str(tmp_path / "own"))


def test_a_missing_variable_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_TOKEN", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    engine = {"kind": "vllm", "model": "org/absent", "environment": {"HF_TOKEN": {"from": "MY_TOKEN"}}}
    with pytest.raises(ConfigError, match=r"^responder\.engine\.environment\.HF_TOKEN: .*MY_TOKEN"):
        job(tmp_path, responder={"engine": engine})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "absent/model", "--prompt", "fancy"], "responder.prompt"),
        (["--model", "./absent"], "responder.engine.model: there is no folder"),
        (["--model", "./absent", "--columns", "question"], "--columns question"),
        (["--model", "./absent", "--set", "responder.sampling.tempreature=1"], "responder.sampling.tempreature"),
    ],
)
def test_a_wrong_option_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    write_seeds(tmp_path / "tasks.jsonl", TASKS)
    with pytest.raises(SystemExit) as ended:
        main(["respond", str(tmp_path / "tasks.jsonl"), str(tmp_path / "out"), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
