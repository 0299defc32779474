"""Whole runs with several answers to an instruction: what was chosen follows from the output alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from evolve.final_answers import agreement, final_answer
from ray_jobs.config.run import RespondConfig, RunConfig
from ray_jobs.jobs.answer_tasks import AnswerTasksJob
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run
from scoring import Pair, RewardConfig, RewardScorer
from tests.ray_jobs.samples import run_config, write_seeds
from tests.scoring.tiny_models import GROUPED, build_tokenizer, save_model, save_reward_model

pytestmark = pytest.mark.usefixtures("local_ray")
SEEDS, ANSWERS = 12, 8


def several(
    folder: Path, choose: str, kind: str = "pool", scorer: dict[str, Any] | None = None, **changes: Any
) -> RunConfig:
    """A run of one evolver and one round, whose answers are cut now and then."""
    seeds = [{"instruction": f"Count to {number}.", "output": f"#### {number}"} for number in range(SEEDS)]
    write_seeds(folder / "seeds.jsonl", seeds)
    engine = {"kind": "scripted", "testing": {"sigma": 0.6}}
    pool = {"size": 1, "batch_rows": 4}
    of_pool = {"engine": engine, "pool": pool} if kind == "pool" else {}
    answering = {"answers": ANSWERS, "choose": choose, "sampling": {"temperature": 0.7, "max_tokens": 60}}
    responder = {"kind": kind, **of_pool, **answering, **changes}
    strategy = {"rounds": 1, "same_answer": ["deepen", "concretise"]}
    evolvers = {"a": {"engine": engine, "pool": pool}}
    scoring = {"kind": "scripted", **(scorer or {}), "pool": pool}
    return run_config(folder, evolvers=evolvers, strategy=strategy, responder=responder, scorer=scoring)


def records(config: RunConfig | RespondConfig) -> pa.Table:
    """The kept records of the finished run."""
    job = SynthesisJob(config) if isinstance(config, RunConfig) else AnswerTasksJob(config)
    assert run(job, say=lambda _: None)["reconciles"]
    table = ds.dataset(Path(config.output) / "data").to_table()
    assert set(pc.list_value_length(table["answers"]).to_pylist()) == {ANSWERS}
    return table


def check_choices(table: pa.Table, order: str) -> None:
    """Each output is the first of the best answers by the scores that stand beside, and each pair's worse one worse."""
    best = max if order == "highest" else min
    for row in table.to_pylist():
        scores = row["answer_scores"]
        known = [score for score in scores if score is not None]
        assert scores.index(best(known)) == row["answer_index"]
        assert row["answers"][row["answer_index"]] == row["output"]
        assert row["answer_score"] == best(known)
        assert row["answer_spread"] == max(known) - min(known)
        assert [score is None for score in scores] == [fault is not None for fault in row["answer_faults"]]
        pairs = zip(row["rejected_outputs"] or [], row["rejected_scores"] or [], strict=True)
        assert all(scores[row["answers"].index(text)] == score != row["answer_score"] for text, score in pairs)


def test_the_scorer_rates_all_answers_and_the_best_is_kept(tmp_path: Path) -> None:
    table = records(several(tmp_path, "ic_ifd", pairs={"against": "all"}))
    check_choices(table, "highest")
    assert table["ic_ifd"] == table["answer_score"]
    assert table["chosen_by"].unique().to_pylist() == ["ic_ifd"]
    faults = Counter(pc.list_flatten(table["answer_faults"]).to_pylist())
    assert 0 < faults["truncated_response"] < SEEDS * ANSWERS
    cut = pc.equal(pc.list_flatten(table["answer_finish_reasons"]), "length")
    assert pc.sum(cut).as_py() == faults["truncated_response"]
    # the tokens of all answers count, beside those of the evolver
    assert pc.all(pc.greater(table["completion_tokens"], pc.list_element(table["answer_tokens"], 0))).as_py()


def test_evolvers_answer_themselves_several_times(tmp_path: Path) -> None:
    table = records(several(tmp_path, "length", "evolver", prefer="lowest"))
    check_choices(table, "lowest")
    assert table["answer_score"].cast(pa.int32()) == pc.utf8_length(table["output"])
    for row in table.to_pylist():
        known = row["operator"] in ("deepen", "concretise")
        number = row["seed_instruction"].removeprefix("Count to ").rstrip(".")
        assert row["seed_output"] == f"#### {number}"
        right = [
            None if fault else int(final_answer(text) == number)
            for text, fault in zip(row["answers"], row["answer_faults"], strict=True)
        ]
        assert row["answer_matches"] == (right if known else None)
        assert row["reference_match"] == (right[row["answer_index"]] if known else None)
    assert 0 < pc.sum(pc.is_valid(table["reference_match"])).as_py() < SEEDS


def test_an_engine_that_dies_costs_no_answer_twice(tmp_path: Path) -> None:
    dying = {"die_after": 7, "marks": str(tmp_path), "call_log": str(tmp_path / "calls"), "decode_rate": 400}
    config = several(tmp_path, "length", engine={"kind": "scripted", "testing": {"sigma": 0.6, **dying}})
    config = config.model_copy(update={"limits": config.limits.model_copy(update={"journal": 0.05})})
    table = records(config)
    check_choices(table, "highest")
    assert table.num_rows == len(table["record_id"].unique()) == SEEDS
    assert (tmp_path / "engine_died").exists()
    calls = Counter((tmp_path / "calls").read_text(encoding="utf-8").split())
    assert len(calls) == SEEDS
    # one request an instruction, and again those that were under way when the engine died
    assert calls.total() - SEEDS < SEEDS


def test_the_answer_that_a_reward_model_likes_best(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    scorer = save_model(tmp_path / "scorer", "llama", bos=True)
    reward = save_reward_model(tmp_path / "reward", LlamaConfig(**GROUPED, num_labels=1), build_tokenizer(bos=True))
    asked = {"kind": "model", "model": str(scorer), "reward": {"model": str(reward)}, "threads": 1}
    table = records(several(tmp_path, "reward", scorer=asked))
    check_choices(table, "highest")
    assert table["reward"] == table["answer_score"]
    row = table.to_pylist()[0]
    pairs = [Pair(row["instruction"], row["input"], text) for text in row["answers"]]
    expected = [item.value for item in RewardScorer(RewardConfig(str(reward))).score(pairs)]
    told = [
        pytest.approx(value, rel=1e-4) for value, fault in zip(expected, row["answer_faults"], strict=True) if not fault
    ]
    assert [score for score in row["answer_scores"] if score is not None] == told


def test_agreement_on_the_last_number(tmp_path: Path) -> None:
    config = several(tmp_path, "agreement", pool={"size": 1, "batch_rows": 4, "price": 3600})
    raw = {"output": config.output, "seeds": {"path": str(tmp_path / "seeds.jsonl")}}
    responder = config.model_dump(mode="json")["responder"]
    table = records(RespondConfig.model_validate(raw | {"responder": responder}))
    for row in table.to_pylist():
        stands = [fault is None for fault in row["answer_faults"]]
        finals = [final_answer(text) for text, fine in zip(row["answers"], stands, strict=True) if fine]
        assert [final for final, fine in zip(row["answer_finals"], stands, strict=True) if fine] == finals
        shares = [score for score, fine in zip(row["answer_scores"], stands, strict=True) if fine]
        assert shares == agreement(finals)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["groups"][0]["mean_answer_score"] == pytest.approx(pc.mean(table["answer_score"]).as_py())
    assert report["pairs"] == pc.sum(pc.list_value_length(table["rejected_outputs"])).as_py() > 0
    cost, whole = report["cost"], sum(pool["cost"] for pool in report["pools"].values())
    assert cost["total"] == pytest.approx(whole, abs=1e-6)
    assert cost["per_pair"] == pytest.approx(whole / report["pairs"], abs=1e-6)
    assert cost["per_kept_record"] == pytest.approx(whole / table.num_rows, abs=1e-6)
