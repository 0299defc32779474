"""Evolvers and the responder that share one loaded engine, each under an adapter of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pydantic import ValidationError

from ray_jobs.config.engine_kinds import SharedVllmConfig
from ray_jobs.config.identity import result_settings
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.autoif.phases import autoif_jobs
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run
from tests.evolve.engines.adapter_files import write_adapter
from tests.ray_jobs.jobs.autoif.samples import autoif_config
from tests.ray_jobs.samples import run_config, write_seeds


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": 576, "num_hidden_layers": 30}))
    return folder


def evolver(base: Path, adapter: Path | None = None, shares: str | None = None, **engine: Any) -> dict[str, Any]:
    given = {"model": str(base), "reasoning": "none", **engine} | ({"adapter": str(adapter)} if adapter else {})
    return {"engine": given, **({"shares": shares} if shares else {})}


def test_who_shares_an_engine_is_one_pool_with_all_adapters(tmp_path: Path, base: Path) -> None:
    one, two, answers = (write_adapter(tmp_path / name, str(base)) for name in ("one", "two", "answers"))
    evolvers = {"a": evolver(base, one), "b": evolver(base, two, "a"), "c": evolver(base, None, "a")}
    config = run_config(tmp_path, evolvers=evolvers, responder={"kind": "evolver", "adapter": str(answers)})
    job = SynthesisJob(config)
    stage, _ = job.pipeline.stages
    assert (stage.branches, stage.place) == (("a", "b", "c"), "evolvers.a.engine")
    assert isinstance(stage.model, SharedVllmConfig)
    assert set(stage.model.adapters) == {str(one), str(two), str(answers)}
    assert dict(stage.task.adapters) == {"a": str(one), "b": str(two), "c": ""}
    assert stage.task.respond_adapter == str(answers)
    assert job.pipeline.passing({"a": 1, "b": 2, "c": 4})[stage.name] == 7
    assert job.evolver_models()["b"] == f"{base} + {two}"
    assert job.labels("run").constants["responder_model"] == f"{base} + {answers}"


def test_autoifs_evolvers_share_an_engine_in_both_of_their_phases(tmp_path: Path, base: Path) -> None:
    one, two = (write_adapter(tmp_path / name, str(base)) for name in ("one", "two"))
    both = {"a": evolver(base, one), "b": evolver(base, two)}
    shared = autoif_config(tmp_path / "run", evolvers=both | {"b": evolver(base, two, "a")})
    augment, instructions, _ = autoif_jobs(shared)
    for phase in (augment, instructions):
        stage = phase.pipeline.stages[0]
        assert stage.branches == ("a", "b")
        assert isinstance(stage.model, SharedVllmConfig)
        assert dict(stage.task.adapters) == {"a": str(one), "b": str(two)}
    assert result_settings(shared) == result_settings(autoif_config(tmp_path / "run", evolvers=both))
    with pytest.raises(ValidationError, match=r"evolvers\.b\.shares: expected an evolver"):
        autoif_config(tmp_path / "run", evolvers=both | {"b": evolver(base, two, "c")})


def test_sharing_changes_no_results_and_an_adapter_does(tmp_path: Path, base: Path) -> None:
    one, two = (write_adapter(tmp_path / name, str(base)) for name in ("one", "two"))
    both = {"a": evolver(base, one), "b": evolver(base, two)}
    apart = result_settings(run_config(tmp_path, evolvers=both))
    shared = result_settings(run_config(tmp_path, evolvers=both | {"b": evolver(base, two, "a")}))
    assert shared == apart
    assert apart["evolvers.a.engine.adapter"] == str(one)
    bare = result_settings(run_config(tmp_path, evolvers={"a": evolver(base)}))
    assert "evolvers.a.engine.adapter" not in bare


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"shares": "c"}, ["evolvers.b.shares", "a", "c"]),
        ({"shares": "a", "system": "Be brief."}, ["evolvers.b.shares", "engine.system"]),
        ({"shares": "a", "kind": "scripted"}, ["evolvers.b.shares", "engine.kind"]),
    ],
)
def test_what_cannot_be_shared_is_told(tmp_path: Path, base: Path, other: dict[str, Any], words: list[str]) -> None:
    shares = other.pop("shares")
    second = evolver(base, None, shares, **other)
    if other.get("kind") == "scripted":
        second["engine"] = {"kind": "scripted"}
    with pytest.raises(ValidationError) as told:
        run_config(tmp_path, evolvers={"a": evolver(base), "b": second})
    assert all(word in str(told.value) for word in words)


def test_an_adapter_of_another_base_stops_the_run(tmp_path: Path, base: Path) -> None:
    small = write_adapter(tmp_path / "small", "", width=64)
    with pytest.raises(ConfigError, match=r"evolvers\.a\.engine\.adapter.*another base"):
        SynthesisJob(run_config(tmp_path, evolvers={"a": evolver(base, small)}))


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_shared_pool_gives_the_records_of_pools_of_their_own(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", [f"Count to {number}." for number in range(6)])
    scripted = {"engine": {"kind": "scripted"}}
    found = []
    for folder, more in (("apart", {}), ("shared", {"shares": "a"})):
        evolvers = {"a": scripted, "b": scripted | more}
        config = run_config(tmp_path, evolvers=evolvers, output=str(tmp_path / folder), strategy={"rounds": 1})
        run(SynthesisJob(config), say=lambda _: None)
        records = ds.dataset(tmp_path / folder / "data").to_table(["row_id", "evolver", "instruction", "output"])
        found.append(sorted(records.to_pylist(), key=lambda record: record["row_id"]))
    assert found[0] == found[1]
    assert {record["evolver"] for record in found[0]} == {"a", "b"}
