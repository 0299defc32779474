"""What a scored pair's record tells of the row that it came from, from the plan to both kinds of record."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.config.run import ScoreConfig
from ray_jobs.jobs.score_pairs import PAIRS, ScorePairsJob
from ray_jobs.output.layout import RoundsLayout
from ray_jobs.output.plan_index import UNREADABLE, PlanIndex
from ray_jobs.pipeline.begun import as_records, unreadable_seeds
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import plan_seeds

ROWS: list[dict[str, Any]] = [
    {"id": "row-1", "source": "a", "instruction": "Name a river.", "output": "Nile"},
    {"id": "row-2", "source": "b", "instruction": "Name a river.", "output": "Nile"},
    {"id": "row-3", "source": "b", "instruction": "Name a lake.", "output": 7},
    {"id": "row-4", "source": "b", "instruction": "Name lakes.", "output": ["Como"]},
]


def planned(store: Store, index: PlanIndex, branch: str) -> pa.Table:
    files = [file for file in index.files if file.evolver == branch]
    return pa.concat_tables(pq.read_table(BytesIO(store.read_bytes(file.path))) for file in files)


def test_every_pair_joins_back_to_its_row(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    raw = {"output": str(tmp_path / "out"), "seeds": {"path": str(path)}, "scorer": {"kind": "scripted"}}
    job = ScorePairsJob(ScoreConfig.model_validate(raw))
    store = open_store(str(tmp_path / "out"))
    index = plan_seeds(store, job.seed_source(), job.fanout())
    assert (index.seeds, index.duplicates, index.unreadable) == (3, 0, {"wrong_type": 1})

    kept, _ = job.layout("run").split(as_records(planned(store, index, PAIRS)))
    told = [json.loads(row) for row in kept["seed_row"].to_pylist()]
    assert told == [
        {"file": str(path), "line": line, "columns": {"id": row["id"], "source": row["source"]}}
        for line, row in enumerate(ROWS[:3], 1)
    ]
    assert kept["output"].to_pylist() == ["Nile", "Nile", "7"]
    assert len(set(kept["record_id"].to_pylist())) == 3

    _, failed = job.layout("run").split(unreadable_seeds(planned(store, index, UNREADABLE)))
    assert failed["seed_row"].to_pylist() == [None]
    assert failed["error"].to_pylist()[0].startswith(f"{path}:4: field 'output': expected text, got a list")


def test_records_of_other_jobs_have_no_row(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROWS[0]))
    raw = {"output": str(tmp_path / "out"), "seeds": {"path": str(path)}, "scorer": {"kind": "scripted"}}
    job = ScorePairsJob(ScoreConfig.model_validate(raw))
    store = open_store(str(tmp_path / "out"))
    rows = as_records(planned(store, plan_seeds(store, job.seed_source(), job.fanout()), PAIRS))
    kept, _ = RoundsLayout(job.labels("run")).split(rows)
    assert kept["seed_row"].to_pylist() == [None]
