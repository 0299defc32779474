"""Runs whose engine is a server on loopback: what it thinks aloud, and what it refuses to be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from ray_jobs.errors import ConfigError, NothingUseful
from ray_jobs.jobs.registry import jobs_of, run_all
from tests.evolve.engines.loopback import Answer, completion, loopback
from tests.ray_jobs.samples import run_config, write_seeds

pytestmark = pytest.mark.usefixtures("local_ray")
SEEDS = ["Name three fruits.", "Count to four."]


def run_on(folder: Path, url: str, **sampling: Any) -> None:
    write_seeds(folder / "seeds.jsonl", SEEDS)
    engine = {"kind": "openai", "model": "m", "url": url, "retries": 0}
    evolving = {"rounds": 1, "sampling": sampling}
    responder = {"kind": "evolver"}
    config = run_config(folder, evolvers={"a": {"engine": engine}}, responder=responder, scorer=None, strategy=evolving)
    run_all(jobs_of(config), say=lambda line: None)


def records(folder: Path, name: str) -> list[dict[str, Any]]:
    return ds.dataset(folder / "out" / name).to_table().to_pylist()


def test_what_a_server_thinks_stands_in_its_own_columns(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        asked = json.dumps(body["messages"])
        if "Task:" not in asked and "Count" in asked:
            return completion("length", content=None, reasoning_content="Forever")
        text = "A harder way to Count to four." if "Count" in asked else "Name three rare fruits."
        return completion(content=text, reasoning_content="Well, they ask.")

    with loopback(answer) as server:
        run_on(tmp_path, server.url)
    (kept,), (rejected,) = records(tmp_path, "data"), records(tmp_path, "rejected")
    assert (kept["instruction"], kept["reasoning"]) == ("Name three rare fruits.", "Well, they ask.")
    assert 0 < kept["reasoning_tokens"] < kept["completion_tokens"]
    assert (rejected["stage"], rejected["reason"], rejected["output"]) == ("respond", "unfinished_reasoning", "")
    assert rejected["reasoning"] == "Forever"


def test_a_setting_that_the_server_refuses_ends_the_run_as_a_wrong_configuration(tmp_path: Path) -> None:
    refusal = 400, {"error": {"message": "unknown field: top_k"}}
    with loopback(lambda body: refusal) as server, pytest.raises(ConfigError, match="top_k: the server"):
        run_on(tmp_path, server.url, top_k=20)


def test_a_run_whose_replies_a_filter_has_all_ended_comes_to_nothing_and_says_why(tmp_path: Path) -> None:
    filtered = completion("content_filter", content="Name a riv")
    with loopback(lambda body: filtered) as server, pytest.raises(NothingUseful, match="2 failed: content_filter"):
        run_on(tmp_path, server.url)
    assert (tmp_path / "out" / "report.json").exists()
    assert not (tmp_path / "out" / "_SUCCESS").exists()
