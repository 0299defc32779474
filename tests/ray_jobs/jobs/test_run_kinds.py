"""Other kinds of the whole job on a local Ray: own answers, split seeds, object stores, engines that die."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.dataset as ds
import pytest

from evolve.strategies.evol_instruct import IN_DEPTH
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import StorageError
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.plan import Fanout
from ray_jobs.runner.run import run
from ray_jobs.seeds.read import seed_id
from ray_jobs.storage.store import open_store
from tests.ray_jobs.fault_proxy import Fault, fault_proxy
from tests.ray_jobs.samples import run_config, write_seeds

SEEDS = [f"Count to {number}." for number in range(12)]

pytestmark = pytest.mark.usefixtures("local_ray")


def small(folder: Path, engine: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    """One evolver that answers itself, no scorer: one actor."""
    evolver = {"engine": {"kind": "scripted", **(engine or {})}, "pool": {"size": 1, "batch_rows": 4}}
    defaults: dict[str, Any] = {"evolvers": {"a": evolver}, "responder": {"kind": "evolver"}, "scorer": None}
    return run_config(folder, **(defaults | changes))


def quiet(config: RunConfig) -> dict[str, Any]:
    return run(SynthesisJob(config), say=lambda _: None)


def kept(output: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = ds.dataset(output / "data").to_table().to_pylist()
    return records


def test_split_seeds_last_rounds_own_answers_and_own_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template folder is named relative to a place in which workers are not."""
    template = tmp_path / "templates" / "evol_instruct" / "breadth.txt"
    template.parent.mkdir(parents=True)
    template.write_text("forbidden {instruction}")
    monkeypatch.chdir(tmp_path)
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    evolvers = {
        name: {"engine": {"kind": "scripted", "model": name, "refuse_text": "forbidden"}, "weight": weight}
        for name, weight in (("a", 1), ("b", 2))
    }
    config = small(
        tmp_path,
        evolvers=evolvers,
        sharing="split",
        keep_rounds="last",
        strategy={"rounds": 2, "templates": "templates"},
    )
    report = quiet(config)
    assert report["reconciles"] is True
    assert report["records"]["planned"] == len(SEEDS)
    fanout = Fanout({"a": 1, "b": 2}, True, 1, "", 0)
    rejected = ds.dataset(tmp_path / "out" / "rejected").to_table().to_pylist()
    for record in [*kept(tmp_path / "out"), *rejected]:
        assert record["round"] == 2
        assert record["evolver"] == fanout.chosen(seed_id(record["seed_instruction"], ""))[0]
        # the template that every scripted engine refuses was the fifth operator's
        assert (record["operator"] == "breadth") == ("status" in record)
    assert rejected
    for record in kept(tmp_path / "out"):
        assert record["responder_model"] == record["evolver_model"] == record["evolver"]
        assert (record["scorer_model"], record["ifd"], record["loss_a"]) == (None, None, None)
        # a first round that was refused leaves the seed as parent
        first_refused = record["seed_index"] % 5 == 4
        assert record["parent_id"] == (record["seed_id"] if first_refused else f"{record['row_id']}-1")
    # tokens of rounds that are not kept were spent all the same
    tokens = sum(record["completion_tokens"] for record in kept(tmp_path / "out"))
    assert sum(pool["completion_tokens"] for pool in report["pools"].values()) > tokens


def test_gsm8k_through_the_four_in_depth_operators(tmp_path: Path, shared: Path) -> None:
    seeds = {"path": str(shared / "data" / "gsm8k_train.jsonl"), "columns": {"instruction": "question"}, "limit": 64}
    strategy = {"rounds": 4, "breadth": False}
    report = quiet(small(tmp_path, seeds=seeds, strategy=strategy))
    assert report["reconciles"] is True
    assert report["records"] == {"planned": 256, "kept": 256, "rejected": 0, "failed": 0}
    with (shared / "data" / "gsm8k_train.jsonl").open() as lines:
        questions = [json.loads(next(lines))["question"] for _ in range(64)]
    records = kept(tmp_path / "out")
    assert Counter((r["seed_instruction"], r["round"]) for r in records) == Counter(
        (question, number) for question in questions for number in (1, 2, 3, 4)
    )
    for record in records:
        assert questions[record["seed_index"]] == record["seed_instruction"]
        assert record["operator"] == IN_DEPTH[(record["seed_index"] + record["round"] - 1) % 4]
    assert set(Counter(record["operator"] for record in records).values()) == {64}


@pytest.mark.parametrize("exit_code", [None, 9])
def test_an_engine_that_dies_costs_no_row(tmp_path: Path, exit_code: int | None) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    engine = {"die_after": 9, "marks": str(tmp_path), "call_log": str(tmp_path / "calls"), "exit_code": exit_code}
    report = quiet(small(tmp_path, engine))
    assert (tmp_path / "engine_died").exists()
    assert report["reconciles"] is True
    assert report["records"] == {"planned": 36, "kept": 36, "rejected": 0, "failed": 0}
    assert report["pools"]["evolve_a"]["actor_starts"] == 2
    calls = Counter((tmp_path / "calls").read_text().split())
    assert len(calls) == 72
    # what was asked of the engine that died is asked once more, no more
    assert set(calls.values()) <= {1, 2}
    assert calls.total() - 72 <= 9 + 12
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    write_seeds(undisturbed / "seeds.jsonl", SEEDS)
    if exit_code is None:
        quiet(small(undisturbed))
        texts = [
            {(r["record_id"], r["instruction"], r["output"]) for r in kept(place / "out")}
            for place in (tmp_path, undisturbed)
        ]
        assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("seeds", "guilty", "slots"),
    [(40, {11, 12}, 8), pytest.param(2000, {3, 700, 701, 1200, 1999}, 64, marks=pytest.mark.chaos_long)],
)
def test_a_row_that_ends_every_engine_is_found_and_the_run_ends_well(
    tmp_path: Path, seeds: int, guilty: set[int], slots: int
) -> None:
    deadly = [f"Explain number {number}{' deadly' if number in guilty else ''}." for number in range(seeds)]
    write_seeds(tmp_path / "seeds.jsonl", deadly)
    log = tmp_path / "calls"
    # refusing the question whether it lives is an answer
    engine = {"slots": slots, "decode_rate": 400, "die_text": "deadly", "refuse_text": "Hello", "call_log": str(log)}
    report = quiet(small(tmp_path, engine, limits={"journal": 1}))
    assert report["reconciles"] is True
    assert report["records"] == {
        "planned": 3 * seeds,
        "kept": 3 * (seeds - len(guilty)),
        "rejected": 0,
        "failed": 3 * len(guilty),
    }
    failed = ds.dataset(tmp_path / "out" / "rejected").to_table().to_pylist()
    assert {(row["seed_index"], row["reason"]) for row in failed} == {(number, "engine_died") for number in guilty}
    assert "deadly" in failed[0]["error"]
    in_flight = 1.25 * slots
    starts = report["pools"]["evolve_a"]["actor_starts"]
    assert starts - 1 <= len(guilty) * (math.log2(in_flight) + 2)
    # the innocent ones that were under way are asked again for what was not answered, no more
    assert len(log.read_text().split()) <= 6 * seeds + starts * 2 * slots


def test_a_row_that_ends_the_actors_process_without_a_word_is_found_too(tmp_path: Path) -> None:
    write_seeds(
        tmp_path / "seeds.jsonl", [f"Explain number {number}{' deadly' * (number == 3)}." for number in range(6)]
    )
    # as the system kills a process for want of memory: nothing is told, nothing is noted
    engine = {"slots": 8, "decode_rate": 400, "die_text": "deadly", "refuse_text": "Hello", "exit_code": 137}
    report = quiet(small(tmp_path, engine, limits={"journal": 1}))
    assert report["records"] == {"planned": 18, "kept": 15, "rejected": 0, "failed": 3}
    failed = ds.dataset(tmp_path / "out" / "rejected").to_table().to_pylist()
    assert {(row["seed_index"], row["reason"]) for row in failed} == {(3, "engine_died")}
    assert "without a word" in failed[0]["error"]
    assert report["pools"]["evolve_a"]["actor_starts"] - 1 <= math.log2(6) + 2


def test_output_in_an_object_store(tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        # as a store under load does now and then
        proxy.faults = [Fault(503, "SlowDown"), Fault(500, "InternalError", after=True)]
        config = small(tmp_path, output=f"{s3_url}/run", storage={**s3_options, "endpoint_url": proxy.url})
        report = quiet(config)
    assert report["reconciles"] is True
    store = open_store(f"{s3_url}/run", s3_options)
    # as users read it
    files = fsspec.filesystem("s3", **s3_options)
    assert ds.dataset(f"{s3_url}/run/data".removeprefix("s3://"), filesystem=files).count_rows() == 36
    assert store.exists("_SUCCESS")
    assert "secret" not in store.read_bytes("run.json").decode()


def test_a_store_that_fails_while_parts_are_written_ends_the_run_as_such(
    tmp_path: Path, s3_url: str, s3_options: dict[str, Any]
) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    remote = f"{s3_url}/run"
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        storage = {**s3_options, "endpoint_url": proxy.url}
        slow = {"decode_rate": 20, "call_log": str(tmp_path / "calls")}
        config = small(tmp_path, slow, output=remote, storage=storage)

        def fail_from_now_on(_: str) -> None:
            proxy.faults = [Fault(403, "AccessDenied")] * 1000

        with pytest.raises(StorageError, match=rf"{remote}/\S+: cannot write: permission denied") as raised:
            run(SynthesisJob(config), say=fail_from_now_on)
        assert raised.value.exit_code == 4
    # a process that ended like this would be gone by now
    open_store(remote, s3_options).write_bytes("epochs/000001.beat", b"released")
    report = quiet(small(tmp_path, output=remote, storage=s3_options))
    assert report["reconciles"] is True
