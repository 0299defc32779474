"""Auto Evol-Instruct through the whole pipeline: methods from storage, dev rows held out, replies without a result."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evolve.strategies.auto_evol import load_method
from evolve.strategies.method import Method, Models, TunedOn
from ray_jobs.cli.status import describe, status
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import ConfigError, OutputError, SeedError, SettingsChanged
from ray_jobs.jobs.methods import saved_method
from ray_jobs.jobs.preflight import check
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.output.ownership import claim
from ray_jobs.output.plan import Fanout
from ray_jobs.pipeline.job import seed_source
from ray_jobs.runner.run import run
from ray_jobs.seeds.read import seed_id
from ray_jobs.storage.store import open_store
from tests.ray_jobs.samples import plan_seeds, write_seeds

TEXT = "A method of ours.\n{instruction}"
SEEDS = [f"Describe procedure {number} step by step." for number in range(20)]
DEV = SEEDS[3:6]


pytestmark = pytest.mark.usefixtures("local_ray")


def make_method(text: str = TEXT, dev: list[str] = DEV) -> Method:
    initial = Method(
        text=text,
        fingerprint="",
        parent=None,
        step=1,
        failure_rates=(0.5, 0.25),
        tuned_on=TunedOn("seeds.jsonl", 10, tuple(seed_id(seed, "") for seed in dev)),
        models=Models("a", "b", "c"),
        created_at="2026-01-02T03:04:05+00:00",
    )
    return replace(initial, fingerprint=initial.template().digest())


def configuration(folder: Path, strategy: dict[str, Any], **changes: Any) -> RunConfig:
    pool = {"size": 1, "batch_rows": 8}
    evolver = {"engine": {"kind": "scripted", "reply": "auto_evol"}, "pool": pool}
    raw = {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "seeds.jsonl")},
        "strategy": {"kind": "auto_evol", **strategy},
        "evolvers": {"small": evolver, "large": evolver},
        "responder": {"engine": {"kind": "scripted"}, "pool": pool},
        "scorer": {"kind": "scripted", "pool": pool},
    }
    return RunConfig.model_validate(raw | changes)


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [record for path in (folder / "out" / kind).glob("*.parquet") for record in pq.read_table(path).to_pylist()]


def test_a_run_with_a_saved_method(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    method = make_method()
    file = tmp_path / "method.json"
    file.write_bytes(method.to_json())
    config = configuration(tmp_path, {"method": str(file), "rounds": 2}, samples=2)
    report = run(SynthesisJob(config))

    assert report["reconciles"]
    assert report["seeds"] == {"usable": 17, "duplicates": 0, "held_out": 3, "gone": 0, "unreadable": {}}
    assert report["records"]["planned"] == 17 * 2 * 2 * 2
    kept, rejected = records(tmp_path, "data"), records(tmp_path, "rejected")
    assert not {item["seed_instruction"] for item in (*kept, *rejected)} & set(DEV)
    assert {item["operator"] for item in (*kept, *rejected)} == {f"method:{method.fingerprint}"}
    assert {item["strategy"] for item in kept} == {"auto_evol"}
    assert {item["evolver"] for item in kept} == {"small", "large"}
    for item in kept:
        steps = json.loads(item["trajectory"])
        assert steps == {"methods": ["narrow the topic", "ask for a reason"], "plan": "Both, one after the other."}
        assert item["ifd"] is not None
    reasons = Counter(item["reason"] for item in rejected)
    assert set(reasons) == {"no_final_instruction"}
    assert report["reasons"] == {"rejected: no_final_instruction": reasons["no_final_instruction"]}
    assert all(item["instruction"].startswith("Methods:\n- narrow") for item in rejected)
    second = [item for item in kept if item["round"] == 2]
    assert {item["parent_id"].endswith("-1") for item in second} == {True, False}

    state = status(open_store(str(tmp_path / "out")))
    assert "17 usable, 0 duplicates, 0 unreadable, 3 held out (dev rows of the method)" in describe(state)

    # the same method in another place is the same method
    file.rename(tmp_path / "moved.json")
    moved = configuration(tmp_path, {"method": str(tmp_path / "moved.json"), "rounds": 2}, samples=2)
    assert run(SynthesisJob(moved))["run_id"] == report["run_id"]
    with pytest.raises(ConfigError, match=r"strategy\.method: .*method\.json: cannot read: there is no such file"):
        run(SynthesisJob(config))

    # another one is not, and the message names the field
    other = make_method("Another.\n{instruction}")
    file.write_bytes(other.to_json())
    with pytest.raises(SettingsChanged) as refused:
        run(SynthesisJob(config))
    assert f'strategy.method: "{method.fingerprint}" before, "{other.fingerprint}" now' in str(refused.value)
    file.write_bytes(make_method(dev=DEV[:2]).to_json())
    with pytest.raises(SettingsChanged, match=r"strategy\.method\.tuned_on\.dev_ids: "):
        run(SynthesisJob(config))


def test_a_run_with_the_initial_method_keeps_the_last_round_of_evolvers_that_answer(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    config = configuration(
        tmp_path, {"rounds": 3, "elimination": "none"}, responder={"kind": "evolver"}, keep_rounds="last", scorer=None
    )
    report = run(SynthesisJob(config))
    assert report["reconciles"]
    assert report["records"]["planned"] == 40
    assert report["seeds"]["held_out"] == 0
    kept = records(tmp_path, "data")
    assert {item["round"] for item in kept} == {3}
    assert {item["operator"] for item in kept} == {f"method:{load_method().digest()}"}


def test_a_run_refuses_the_output_of_a_search(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    claim(open_store(str(tmp_path / "out")), "search")
    with pytest.raises(OutputError, match="holds a search, expected a run"):
        run(SynthesisJob(configuration(tmp_path, {})))


def fanout(held_out: list[str]) -> Fanout:
    ids = frozenset(seed_id(seed, "") for seed in held_out)
    return Fanout({"small": 1.0}, split=False, samples=1, strategy_fingerprint="x", run_seed=0, held_out=ids)


def test_held_out_seeds_are_counted_once_while_the_seeds_grow(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    source = seed_source(configuration(tmp_path, {}).seeds)
    write_seeds(tmp_path / "seeds.jsonl", SEEDS[:5])
    index = plan_seeds(store, source, fanout(DEV))
    assert (index.seeds, index.held_out, index.rows) == (3, 2, 3)
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    index = plan_seeds(store, source, fanout(DEV))
    assert (index.seeds, index.held_out, index.rows) == (17, 3, 17)
    assert plan_seeds(store, source, fanout(DEV)) == index == accept.load(store).plan


def test_a_run_without_a_seed_beside_the_dev_rows(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    write_seeds(path, DEV)
    store = open_store(str(tmp_path / "out"))
    with pytest.raises(SeedError) as told:
        plan_seeds(store, seed_source(configuration(tmp_path, {}).seeds), fanout(DEV))
    assert str(told.value) == f"{path}: all 3 seeds are dev rows of the method: none is left"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "expected a method file: Invalid JSON"),
        (b"{}", "expected a method file: text: Field required"),
        (make_method("No place for it.").to_json(), "placeholder {instruction} is missing"),
        (make_method().to_json().replace(b"of ours", b"of yours"), "fingerprint: the text has "),
    ],
)
def test_a_file_that_is_no_method_is_told_before_anything_starts(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "method.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as told:
        check(configuration(tmp_path, {"method": str(file)}))
    assert str(told.value).startswith(f"strategy.method: {file}: ")
    assert problem in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_method_in_an_object_store(tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> None:
    open_store(s3_url, s3_options).write_bytes("search/method.json", make_method().to_json())
    url = f"{s3_url}/search/method.json"
    config = configuration(tmp_path, {"method": url}, output=f"{s3_url}/out", storage=s3_options)
    assert saved_method(config) == make_method()
    assert check(config).method == make_method()
    absent = configuration(tmp_path, {"method": f"{url}n"}, output=f"{s3_url}/out", storage=s3_options)
    with pytest.raises(ConfigError, match=rf"strategy\.method: {url}n: cannot read: there is no such file"):
        check(absent)


def test_a_local_method_for_a_run_in_an_object_store(tmp_path: Path, s3_options: dict[str, Any]) -> None:
    file = tmp_path / "method.json"
    file.write_bytes(make_method().to_json())
    config = configuration(tmp_path, {"method": str(file)}, output="s3://bucket/out", storage=s3_options)
    assert saved_method(config) == make_method()


def test_no_method_is_read_where_none_is_named(tmp_path: Path) -> None:
    assert saved_method(configuration(tmp_path, {})) is None
    assert saved_method(configuration(tmp_path, {"kind": "evol_instruct"})) is None
