"""Made-up configurations, seeds and finished rows for the tests of the job."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from ray_jobs.config import RunConfig
from ray_jobs.manifest import Entry, commit, load
from ray_jobs.parts import write_part
from ray_jobs.rounds import RoundRow
from ray_jobs.rows import FAILED, KEPT, REJECTED, ROW_SCHEMA, flatten, split_outcomes
from ray_jobs.storage import Store

CREATED = datetime(2026, 1, 2, tzinfo=UTC)
LABELS = {"run_id": "run", "strategy": "evol_instruct", "scorer_model": None, "reward_model": None}
MODELS = {"a": "model-a", "b": "model-b"}


def run_config(folder: Path, **changes: Any) -> RunConfig:
    """A run of two scripted evolvers on `folder`/seeds.jsonl; `changes` replace top-level fields."""
    pool = {"size": 1, "batch_rows": 4}
    raw: dict[str, Any] = {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "seeds.jsonl")},
        "strategy": {"rounds": 3},
        "evolvers": {name: {"engine": {"kind": "scripted"}, "pool": pool} for name in ("a", "b")},
        "responder": {"engine": {"kind": "scripted", "model": "answers"}, "pool": pool},
        "scorer": {"kind": "scripted", "pool": pool},
    }
    return RunConfig.model_validate(raw | changes)


def write_seeds(path: Path, seeds: Iterable[str | Mapping[str, str]]) -> None:
    """Write a JSONL file of seeds: instructions, or whole rows."""
    rows = ({"instruction": seed} if isinstance(seed, str) else seed for seed in seeds)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def kept_round(number: int = 1, parent: int = 0, **more: Any) -> RoundRow:
    """A round that was evolved, answered and scored."""
    return {
        "round": number,
        "parent_round": parent,
        "status": KEPT,
        "operator": "deepen",
        "instruction": f"evolved {number}",
        "output": f"answer {number}",
        "prompt_tokens": 10 * number,
        "completion_tokens": number,
        "mean_top1_prob": 0.5,
        "loss_q": 2.0,
        "loss_a_given_q": 1.0,
        "loss_a": 1.5,
        "n_q": 3,
        "n_a": 2,
        "ifd": 2 / 3,
        "ic_ifd": 1 / 3,
        **more,
    }


def rejected_round(number: int = 1, parent: int = 0, reason: str = "unchanged") -> RoundRow:
    """A round that a rule has turned down."""
    return {
        "round": number,
        "parent_round": parent,
        "status": REJECTED,
        "stage": "evolve",
        "reason": reason,
        "operator": "deepen",
        "instruction": "same",
        "prompt_tokens": 5,
        "completion_tokens": 1,
    }


def unreadable_round() -> RoundRow:
    """The round that stands for a seed that could not be read."""
    return {
        "round": 0,
        "parent_round": 0,
        "status": FAILED,
        "stage": "read",
        "reason": "not_an_object",
        "error": "seeds.jsonl:3: expected a JSON object, got 3",
    }


def finished(rounds_of: Mapping[int, list[RoundRow] | None], evolver: str | None = "a") -> pa.Table:
    """Rows in ROW_SCHEMA by their number in the plan."""
    rows = [
        {
            "plan_row": number,
            "row_id": f"row{number:04d}",
            "seed_id": f"seed{number:04d}",
            "seed_index": None if evolver is None else number,
            "evolver": evolver,
            "sample": 0,
            "seed_instruction": f"seed {number}",
            "input": "",
            "rounds": rounds,
            "created_at": CREATED,
        }
        for number, rounds in rounds_of.items()
    ]
    return pa.Table.from_pylist(rows, ROW_SCHEMA)


def outcomes(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The kept, and the rejected or failed records of finished rows."""
    return split_outcomes(flatten(rows, LABELS, MODELS))


def add_part(store: Store, *numbers: int, commits: bool = True, replaces: tuple[str, ...] = ()) -> Entry:
    """Write a part of rows with one kept and one rejected round each, and commit it."""
    rows = finished({number: [kept_round(), rejected_round(2, 1)] for number in numbers})
    entry = write_part(store, *outcomes(rows), rows["plan_row"].to_numpy(), replaces)
    if commits:
        assert commit(store, entry)
    return entry


def record_counts(store: Store) -> Counter[str]:
    """How often each record is in the output, as a reader without a manifest sees it."""
    found = Counter[str]()
    for folder in ("data", "rejected"):
        if paths := [path for path, _ in store.list(folder)]:
            dataset = ds.dataset(paths, filesystem=store.arrow_filesystem(), format="parquet")
            found.update(dataset.to_table(columns=["record_id"])["record_id"].to_pylist())
    return found


def check_parts(store: Store, rows: set[int]) -> None:
    """The output holds exactly `rows`, as `add_part` makes them, and its entries exactly its files."""
    found = load(store)
    assert not found.replaced
    assert sorted(row for entry in found.entries for row in entry.rows.tolist()) == sorted(rows)
    assert record_counts(store) == Counter(f"row{row:04d}-{number}" for row in rows for number in (1, 2))
    files = {path for folder in ("data", "rejected") for path, _ in store.list(folder)}
    assert files == {part.path for entry in found.entries for part in entry.files}
    assert found.tally().rows == len(rows)
