"""Whole searches on a local Ray with scripted engines: their result, kills, dying engines, refusals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from evolve.method_search.config import Engines
from evolve.method_search.search import optimise
from evolve.method_search.state import OptimiserState
from evolve.strategies.method import Method
from evolve.testing.scripted_engine import Script, ScriptedEngine
from ray_jobs.errors import DamagedOutput, LeaseHeld, OutputError, PoolError, SettingsChanged, TooManyRestarts
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.jobs.method_search.preflight import prepare
from ray_jobs.jobs.method_search.rows import task
from ray_jobs.jobs.method_search.search import optimize
from ray_jobs.output import lease
from ray_jobs.output.ownership import MARK, claim
from ray_jobs.storage.store import open_store
from tests.ray_jobs.samples import write_seeds

ROOT = Path(__file__).parents[4]

pytestmark = pytest.mark.usefixtures("local_ray")


def raw_config(folder: Path, **small: Any) -> dict[str, Any]:
    """A search with an engine a part; `small` are settings of the evolver's."""
    seeds = folder / "seeds.jsonl"
    if not seeds.exists():
        write_seeds(seeds, (f"Describe procedure {number} step by step." for number in range(60)))
    return {
        "output": str(folder / "out"),
        "seeds": {"path": str(seeds)},
        "engines": {
            "small": {"engine": {"kind": "scripted", "reply": "auto_evol", "model": "s", **small}, "pool": {"size": 2}},
            "large": {"engine": {"kind": "scripted", "reply": "method", "model": "l"}},
            "medium": {"engine": {"kind": "scripted", "model": "m"}},
        },
        "roles": {"evolver": "small", "optimiser": "large", "responder": "medium"},
        "search": {"dev_rows": 20, "minibatch": 4, "rounds": 2, "candidates": 3, "steps": 3},
        "seed": 2,
    }


def configuration(folder: Path, **small: Any) -> OptimizeConfig:
    return OptimizeConfig.model_validate(raw_config(folder, **small))


def expected(config: OptimizeConfig) -> OptimiserState:
    """What the search loop gives with engines in this process."""
    prepared = prepare(config)
    parts = [ScriptedEngine(Script(reply=part)) for part in ("auto_evol", "method", "topic")]
    pool, dev = [task(seed) for seed in prepared.rows.pool], [task(seed) for seed in prepared.rows.dev]
    return asyncio.run(optimise(prepared.search_config(""), pool, dev, Engines(*parts), None, lambda state: None))


def result(folder: Path) -> OptimiserState:
    """What is saved, without the time at which it began."""
    state = OptimiserState.from_json((folder / "out/search.json").read_bytes(), "search.json")
    return replace(state, method=replace(state.method, created_at=""))


def test_a_search_finds_the_method_that_the_loop_finds_and_reports_it(tmp_path: Path) -> None:
    said = list[str]()
    config = configuration(tmp_path)
    report = optimize(config, say=said.append)
    wanted = expected(config)
    assert result(tmp_path) == wanted
    rates = wanted.method.failure_rates
    assert len(rates) > 1
    assert list(rates) == sorted(rates, reverse=True)
    assert report["failure_rates"] == list(rates)

    method = Method.from_json((tmp_path / "out/method.json").read_bytes(), "method.json")
    assert replace(method, created_at="") == wanted.method
    assert len(set(method.tuned_on.dev_ids)) == 20
    assert (method.models.evolver, method.models.optimiser, method.models.responder) == ("s", "l", "m")
    assert method.tuned_on.source == str(tmp_path / "seeds.jsonl")

    candidates = [candidate for step in wanted.log for candidate in step.candidates]
    assert report["optimiser"]["candidates"] == len(candidates)
    assert report["optimiser"]["rewriting_replies"] == sum(candidate.proposal.attempts for candidate in candidates)
    assert report["stopped"] == wanted.stopped
    assert [step["failures"] for step in report["steps"]] == [step.score.failures for step in wanted.log]
    methods_tried = 1 + report["optimiser"]["method"]
    trajectories = 4 * 2 * (len(wanted.log) - 1)
    assert report["pools"]["small"]["rows"] == 20 * methods_tried + trajectories
    assert report["pools"]["small"]["actor_starts"] == 2
    assert said[0] == "search: 60 seeds, 20 dev rows, 40 for mini-batches"
    steps = [line for line in said if line.startswith("step ")]
    assert [line.split(":")[0] for line in steps] == [f"step {number}" for number in range(len(wanted.log))]
    assert f"failure rate {rates[0]:.4f} over 20 dev rows" in steps[0]

    # a search that has ended asks no engine for anything
    assert optimize(config, say=said.append)["pools"] == report["pools"]
    assert said[-1].endswith("(saved)")

    # other settings are refused by name
    other = raw_config(tmp_path)
    other["search"]["candidates"] = 4
    other["seeds"]["limit"] = 50
    with pytest.raises(SettingsChanged) as refused:
        optimize(OptimizeConfig.model_validate(other))
    fields = {line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]}
    assert fields == {"search.candidates", "seeds.dev_rows", "seeds.pool_rows"}


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_search_ends_as_it_would_have(tmp_path: Path, kill: signal.Signals) -> None:
    raw = raw_config(tmp_path, decode_rate=80, call_log=str(tmp_path / "calls"))
    here = {"address": ray.get_runtime_context().gcs_address}
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(raw | {"ray": here}))
    wanted = expected(OptimizeConfig.model_validate(raw))
    assert len(wanted.log) > 2
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_jobs.cli", "optimize", str(tmp_path / "search.yaml")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        await_steps(tmp_path, 2, process)
        process.send_signal(kill)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    await_idle_ray()
    if kill == signal.SIGTERM:
        assert process.returncode == 10
        assert "error: stopped by SIGTERM" in errors
        assert "Traceback" not in errors
    saved = OptimiserState.from_json((tmp_path / "out/search.json").read_bytes(), "search.json")
    assert saved.stopped is None
    before = len((tmp_path / "calls").read_text().splitlines())

    raw["engines"]["small"]["engine"]["decode_rate"] = 0
    said = list[str]()
    optimize(OptimizeConfig.model_validate(raw), say=said.append)
    assert result(tmp_path) == wanted
    assert [line.endswith("(saved)") for line in said if line.startswith("step ")].count(True) == len(saved.log)
    # what was finished is not done again, nor what the journal holds of the step that was cut off
    calls = len((tmp_path / "calls").read_text().splitlines()) - before
    methods = sum(candidate.score is not None for step in wanted.log[len(saved.log) :] for candidate in step.candidates)
    assert calls <= 20 * methods + 4 * 2 * (len(wanted.log) - len(saved.log))


def await_steps(folder: Path, steps: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        path = folder / "out/search.json"
        if path.exists() and len(json.loads(path.read_text())["log"]) >= steps:
            return
        time.sleep(0.05)
    pytest.fail("the search did not get that far")


def await_idle_ray() -> None:
    """Wait until no actor is left that could still ask an engine for something."""
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline, "actors outlive their driver"
        time.sleep(0.1)


def test_an_engine_that_dies_is_loaded_again_and_changes_nothing(tmp_path: Path) -> None:
    config = configuration(tmp_path, die_after=15, marks=str(tmp_path))
    report = optimize(config, say=lambda line: None)
    assert (tmp_path / "engine_died").exists()
    assert result(tmp_path) == expected(config)
    assert report["pools"]["small"]["actor_starts"] == 3


def test_an_engine_that_keeps_dying_ends_the_search(tmp_path: Path) -> None:
    raw = raw_config(tmp_path, die_after=1)
    with pytest.raises(TooManyRestarts, match="pool small: its actors were started again"):
        optimize(OptimizeConfig.model_validate(raw | {"limits": {"engine_restarts": 1}}), say=lambda line: None)
    assert not (tmp_path / "out/search.json").exists()


def test_a_model_that_cannot_be_loaded_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_text("{}")
    raw = raw_config(tmp_path)
    raw["engines"]["large"]["engine"] = {"kind": "vllm", "model": str(tmp_path / "empty")}
    with pytest.raises(PoolError) as told:
        optimize(OptimizeConfig.model_validate(raw), say=lambda line: None)
    assert "Unrecognized model in" in str(told.value)
    assert "\n" not in str(told.value)


def test_refused_prompts_are_counted_and_do_not_end_the_search(tmp_path: Path) -> None:
    raw = raw_config(tmp_path, refuse_text="procedure 1")
    raw["engines"]["large"]["engine"] |= {"refuse_text": "went wrong"}
    report = optimize(OptimizeConfig.model_validate(raw), say=lambda line: None)
    assert report["steps"][0]["failures"]["PromptRefused"] > 0
    assert (report["stopped"], report["optimiser"]["refused"]) == ("no_candidate", 3)


def test_a_search_in_an_object_store(tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> None:
    raw = raw_config(tmp_path) | {"output": f"{s3_url}/search", "storage": s3_options}
    config = OptimizeConfig.model_validate(raw)
    optimize(config, say=lambda line: None)
    store = open_store(f"{s3_url}/search", s3_options)
    method = Method.from_json(store.read_bytes("method.json"), "method.json")
    assert replace(method, created_at="") == expected(config).method
    stored = store.read_bytes("optimize.json").decode()
    assert s3_options["secret"] not in json.loads(stored)["configuration"]
    assert "storage" not in json.loads(stored)["configuration"]


def test_two_searches_do_not_share_an_output(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    store = open_store(config.output)
    claim(store, "search")
    holder = lease.acquire(store)
    try:
        with pytest.raises(LeaseHeld, match=r"is working on this output; stop it first"):
            optimize(config)
    finally:
        holder.release()


def test_a_search_refuses_the_output_of_a_run_and_a_broken_state(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    store = open_store(config.output)
    claim(store, "run")
    with pytest.raises(OutputError, match="holds a run, expected a search"):
        optimize(config)
    store.delete([MARK])
    claim(store, "search")
    store.write_bytes("optimize.json", json.dumps({"result_settings": prepare(config).settings}).encode())
    store.write_bytes("search.json", b"{}")
    with pytest.raises(DamagedOutput, match=r"search\.json: expected the state of a search: search: Field required"):
        optimize(config)
