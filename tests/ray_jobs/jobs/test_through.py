"""Runs whose engines a service has loaded: what is asked there, and what stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ray_jobs.config.identity import fingerprint
from ray_jobs.config.load import validated
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.service.borrowing import OwnEngines, borrowing

TOKEN = "t" * 20
THROUGH = {"url": "http://127.0.0.1:8400", "token": TOKEN}


def settings(model: Path, **changes: Any) -> dict[str, Any]:
    engine = {"model": str(model), "arguments": {"max_model_len": 512}}
    return {
        "output": "out",
        "seeds": {"path": "examples/seeds.jsonl"},
        "evolvers": {
            "small": {"engine": engine, "pool": {"gpus": 1, "batch_rows": 32}},
            "other": {"engine": {"kind": "scripted"}},
        },
        "responder": {"engine": engine, "pool": {"gpus": 1, "max_size": 3}},
        "scorer": {"kind": "scripted", "pool": {"cpus": 2}},
        **changes,
    }


def job(raw: dict[str, Any]) -> SynthesisJob:
    return SynthesisJob(validated(RunConfig, raw, "run.yaml"))


def test_engines_that_load_a_model_are_asked_and_the_run_stays_the_same(smollm2_dir: Path) -> None:
    plain, through = job(settings(smollm2_dir)), job(settings(smollm2_dir, through=THROUGH))
    assert fingerprint(through.settings()) == fingerprint(plain.settings())
    assert through.labels("1" * 16) == plain.labels("1" * 16)
    assert TOKEN not in through.config.model_dump_json()
    assert through.pipeline.block_rows() == plain.pipeline.block_rows()
    small, other, respond, score = through.pipeline.stages
    assert (small.model.asked, small.model.model) == ("small", str(smollm2_dir))
    assert small.model.urls[0].reveal() == "http://127.0.0.1:8400/v1"
    assert (small.pool.gpus, small.pool.cpus, small.pool.bounds) == (0, 0.25, (1, 1))
    assert (respond.model.asked, respond.pool.bounds) == ("respond", (1, 1))
    assert (other.model, score.pool) == (plain.pipeline.stages[1].model, plain.pipeline.stages[3].pool)


def test_only_what_is_named_is_asked_under_its_name(smollm2_dir: Path) -> None:
    raw = settings(smollm2_dir, through={**THROUGH, "models": {"small": "tiny"}})
    small, _, respond, _ = job(raw).pipeline.stages
    assert small.model.asked == "tiny"
    assert respond.model.holds_weights


@pytest.mark.parametrize(
    ("through", "told"),
    [
        ({**THROUGH, "models": {"other": "x"}}, r"through\.models\.other: .*small, respond"),
        ({**THROUGH, "url": "127.0.0.1:8400"}, r"through\.url: .*http://"),
        ({"url": THROUGH["url"]}, r"through\.token: "),
    ],
)
def test_wrong_ones_are_told(smollm2_dir: Path, through: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as wrong:
        job(settings(smollm2_dir, through=through))
    assert TOKEN not in str(wrong.value)


@pytest.mark.parametrize("crowded", [True, False])
def test_a_service_lends_the_models_that_it_has_where_there_is_no_room(smollm2_dir: Path, crowded: bool) -> None:
    own = validated(RunConfig, settings(smollm2_dir), "serve.yaml")
    engines = OwnEngines("http://127.0.0.1:8400", TOKEN, lambda _: crowded)
    raw = settings(smollm2_dir)
    same = {**raw["evolvers"]["small"]["engine"], "arguments": {"max_model_len": 512, "max_num_seqs": 4}}
    unlike = {**same, "arguments": {"max_model_len": 256}}
    raw["evolvers"] = {"mine": {"engine": same}, "longer": {"engine": unlike}, "small": {"engine": unlike}}
    found = borrowing(raw, own, engines)
    lent = {"through": {**THROUGH, "models": {"mine": "small", "respond": "respond"}}} if crowded else {}
    assert found == {**raw, **lent}


def test_a_service_without_these_models_lends_none(smollm2_dir: Path) -> None:
    own = validated(RunConfig, settings(smollm2_dir), "serve.yaml")
    raw = settings(smollm2_dir, evolvers={"a": {"engine": {"kind": "scripted"}}}, responder={"kind": "evolver"})
    assert borrowing(raw, own, OwnEngines("http://127.0.0.1:8400", TOKEN, lambda _: True)) == raw
