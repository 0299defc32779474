"""Scoring pairs that exist already: every pair once, with its scores, resumable like any run."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

from ray_jobs.config.run import ScoreConfig
from ray_jobs.errors import SettingsChanged
from ray_jobs.jobs.registry import stored_jobs
from ray_jobs.jobs.score_pairs import ScorePairsJob
from ray_jobs.output.verify import verify
from ray_jobs.runner.run import resume, run
from ray_jobs.storage.store import open_store
from scoring import Pair, RewardConfig, RewardScorer, Scorer, ScorerConfig
from scoring.scripted import ScriptedScorer
from tests.ray_jobs.samples import FinishedRun
from tests.scoring.tiny_models import GROUPED, build_tokenizer, save_model, save_reward_model

PAIRS = [
    {"instruction": "Name a river.", "input": "", "output": "The Rhine."},
    {"instruction": "Name a river.", "input": "", "output": "The Elbe."},
    {"instruction": "Translate.", "input": "maison", "output": "house"},
    {"instruction": "Name a river.", "input": "", "output": "The Rhine.", "id": "r-4"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]
NAMES = {"instruction": "question", "input": "context", "output": "answer"}
BAD = '{"instruction": 3, "output": "x"}'
Finished = FinishedRun[ScoreConfig]

pytestmark = pytest.mark.usefixtures("local_ray")


def job(folder: Path, **scorer: Any) -> ScorePairsJob:
    return ScorePairsJob(
        ScoreConfig.model_validate(
            {
                "output": str(folder / "out"),
                "seeds": {"path": str(folder / "pairs.jsonl")},
                "scorer": {"kind": "scripted", "pool": {"batch_rows": 2}, **scorer},
            }
        )
    )


def write(folder: Path, *more: str) -> None:
    lines = [*(json.dumps(pair) for pair in PAIRS), *more]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")


def records(folder: Path) -> list[dict[str, Any]]:
    table = ds.dataset(folder / "out" / "data").to_table()
    rows: list[dict[str, Any]] = table.sort_by("plan_row").to_pylist()
    return rows


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Finished:
    folder = tmp_path_factory.mktemp("scored")
    write(folder, BAD)
    return Finished(folder, job(folder).config, run(job(folder), say=lambda _: None))


@pytest.fixture
def again(scored: Finished, tmp_path: Path) -> Path:
    """The finished run in a place of its own."""
    shutil.copytree(scored.folder, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_every_pair_is_scored_once(scored: Finished) -> None:
    report = scored.report
    assert report["reconciles"]
    assert report["records"] == {"planned": 6, "kept": 5, "rejected": 0, "failed": 1}
    assert report["seeds"]["duplicates"] == 0
    found = records(scored.folder)
    texts = [(item["instruction"], item["input"], item["output"]) for item in found]
    assert texts == [(pair["instruction"], pair["input"], pair["output"]) for pair in PAIRS]
    expected = ScriptedScorer().score([Pair(*text) for text in texts])
    assert [item["ic_ifd"] for item in found] == [scores.ic_ifd for scores in expected]
    rows = [json.loads(item["seed_row"]) for item in found]
    file = str(scored.folder / "pairs.jsonl")
    assert [(row["file"], row["line"]) for row in rows] == [(file, line) for line in range(1, 6)]
    assert [row["columns"] for row in rows] == [{}, {}, {}, {"id": "r-4"}, {}]
    assert {item["evolver"] for item in found} == {None}
    assert {item["round"] for item in found} == {0}
    verdict = verify(open_store(str(scored.output)))
    assert verdict.finished
    assert not verdict.problems


def test_another_scorer_is_refused_the_same_command_resumes_and_added_pairs_are_scored(again: Path) -> None:
    with pytest.raises(SettingsChanged, match=r'scorer\.model: "scripted" before, "other" now'):
        run(job(again, model="other"))
    write(again, BAD, json.dumps({"instruction": "Add 2 and 3.", "output": "5"}))
    said: list[str] = []
    report = run(job(again), say=said.append)
    assert "7 rows, 6 done" in said[0]
    assert report["records"]["kept"] == 6


def test_files_of_other_formats_in_an_object_store(tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> None:
    renamed = pa.table({name: [pair[key] for pair in PAIRS] for key, name in NAMES.items()})
    store, table, parquet = open_store(s3_url, s3_options), BytesIO(), BytesIO()
    csv.write_csv(renamed, table)
    pq.write_table(renamed, parquet)
    files = {"json": json.dumps(renamed.to_pylist()).encode(), "csv": table.getvalue(), "parquet": parquet.getvalue()}
    for kind, content in files.items():
        store.write_bytes(f"pairs.{kind}", content)
    seeds = {"path": [f"{s3_url}/pairs.{kind}" for kind in files], "columns": NAMES, "storage": s3_options}
    config = {"output": f"{s3_url}/out", "storage": s3_options, "seeds": seeds, "scorer": {"kind": "scripted"}}
    report = run(ScorePairsJob(ScoreConfig.model_validate(config)), say=lambda _: None)
    assert report["records"] == {"planned": 15, "kept": 15, "rejected": 0, "failed": 0}
    assert verify(open_store(f"{s3_url}/out", s3_options)).finished


def test_reward_and_length_are_taken_beside_the_losses(scored: Finished, tmp_path: Path) -> None:
    """In the scorer's actor, with real models; without being asked for, the same columns hold nulls."""
    from transformers import AutoTokenizer, LlamaConfig

    write(tmp_path)
    plain = ds.dataset(scored.output / "data").to_table()
    scorer = save_model(tmp_path / "scorer", "llama", bos=True)
    reward = save_reward_model(tmp_path / "reward", LlamaConfig(**GROUPED, num_labels=1), build_tokenizer(bos=True))
    asked = {"reward": {"model": str(reward), "token_budget": 64}, "instruction_length": True, "threads": 1}
    asked["instruction_perplexity"] = True
    report = run(job(tmp_path, kind="model", model=str(scorer), **asked), say=lambda _: None)
    found = records(tmp_path)
    pairs = [Pair(item["instruction"], item["input"], item["output"]) for item in found]
    expected = RewardScorer(RewardConfig(str(reward))).score(pairs)
    assert [item["reward"] for item in found[:4]] == pytest.approx([item.value for item in expected[:4]], rel=1e-4)
    assert found[4]["reward"] is None
    tokenizer = AutoTokenizer.from_pretrained(scorer)
    lengths = [len(tokenizer.encode(pair.instruction, add_special_tokens=False)) for pair in pairs]
    assert [item["instruction_length"] for item in found] == lengths
    alone = Scorer(ScorerConfig(str(scorer))).score([Pair(pair.instruction, "", "") for pair in pairs])
    assert [item["loss_instruction"] for item in found] == pytest.approx([item.loss_q for item in alone], rel=1e-4)
    assert any(item["input"] and item["loss_instruction"] != item["loss_q"] for item in found)
    assert {item["reward_model"] for item in found} == {str(reward)}
    assert "empty response: reward is undefined" in found[4]["score_note"]
    mean = sum(item["reward"] for item in found[:4]) / 4
    assert report["groups"][0]["mean_reward"] == pytest.approx(mean)
    assert plain.schema == ds.dataset(tmp_path / "out" / "data").to_table().schema
    for name in ("reward", "reward_model", "instruction_length", "loss_instruction"):
        assert set(plain[name].to_pylist()) == {None}


def test_the_output_knows_its_job(scored: Finished, again: Path) -> None:
    output = str(again / "out")
    resumed = resume(*stored_jobs(open_store(output), output, {}), say=lambda _: None)
    assert resumed["records"] == scored.report["records"]
