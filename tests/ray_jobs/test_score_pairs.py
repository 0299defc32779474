"""Scoring pairs that exist already: every pair once, with its scores, resumable like any run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from ray_jobs.config import ScoreConfig
from ray_jobs.errors import SettingsChanged
from ray_jobs.kinds import stored_jobs
from ray_jobs.run import resume, run
from ray_jobs.score_pairs import ScorePairsJob
from ray_jobs.storage import open_store
from ray_jobs.verify import verify
from scoring.records import Pair
from scoring.scripted import ScriptedScorer

PAIRS = [
    {"instruction": "Name a river.", "input": "", "output": "The Rhine."},
    {"instruction": "Name a river.", "input": "", "output": "The Elbe."},
    {"instruction": "Translate.", "input": "maison", "output": "house"},
    {"instruction": "Name a river.", "input": "", "output": "The Rhine."},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]
BAD = '{"instruction": 3, "output": "x"}'

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


def test_every_pair_is_scored_once(tmp_path: Path) -> None:
    write(tmp_path, BAD)
    report = run(job(tmp_path), say=lambda _: None)
    assert report["reconciles"]
    assert report["records"] == {"planned": 5, "kept": 4, "rejected": 0, "failed": 1}
    assert report["seeds"]["duplicates"] == 1
    found = records(tmp_path)
    texts = [(one["instruction"], one["input"], one["output"]) for one in found]
    assert texts == [(one["instruction"], one["input"], one["output"]) for one in (*PAIRS[:3], PAIRS[4])]
    expected = ScriptedScorer().score([Pair(*text) for text in texts])
    assert [one["ic_ifd"] for one in found] == [scores.ic_ifd for scores in expected]
    assert {one["evolver"] for one in found} == {None}
    assert {one["round"] for one in found} == {0}
    verdict = verify(open_store(str(tmp_path / "out")))
    assert verdict.finished
    assert not verdict.problems


def test_the_same_command_resumes_and_added_pairs_are_scored(tmp_path: Path) -> None:
    write(tmp_path)
    run(job(tmp_path), say=lambda _: None)
    write(tmp_path, json.dumps({"instruction": "Add 2 and 3.", "output": "5"}))
    said: list[str] = []
    report = run(job(tmp_path), say=said.append)
    assert "5 rows, 4 done" in said[0]
    assert report["records"]["kept"] == 5


def test_another_scorer_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    run(job(tmp_path), say=lambda _: None)
    with pytest.raises(SettingsChanged, match=r'scorer\.model: "scripted" before, "other" now'):
        run(job(tmp_path, model="other"))


def test_the_output_knows_its_job(tmp_path: Path) -> None:
    write(tmp_path)
    before = run(job(tmp_path), say=lambda _: None)
    output = str(tmp_path / "out")
    again = resume(*stored_jobs(open_store(output), output, {}), say=lambda _: None)
    assert again["records"] == before["records"]
