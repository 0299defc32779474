"""Made-up configurations, seeds and finished rows for the tests of the job."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.config.run import RunConfig
from ray_jobs.output import accept
from ray_jobs.output.epochs import Epoch, add_part, begin
from ray_jobs.output.lease import EPOCHS, take
from ray_jobs.output.manifest import Entry
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan import Fanout, PlanWriter, make_plan, planned_rows
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.schema import FAILED, KEPT, REJECTED, ROW_SCHEMA, flatten, split_outcomes
from ray_jobs.seeds.read import Seed, SeedSource
from ray_jobs.storage.store import Store

CREATED = datetime(2026, 1, 2, tzinfo=UTC)
LABELS = {"run_id": "run", "strategy": "evol_instruct", "scorer_model": None, "reward_model": None}
MODELS = {"a": "model-a", "b": "model-b"}
AnyConfig = TypeVar("AnyConfig")


def run_config(folder: Path, **changes: Any) -> RunConfig:
    """A run of two scripted evolvers on `folder`/seeds.jsonl; `changes` replace top-level fields."""
    pool = {"size": 1, "batch_rows": 4}
    raw: dict[str, Any] = {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "seeds.jsonl")},
        "confidence_share": 1,
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
    """A round that a rule has rejected."""
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


def new_epoch(store: Store) -> Epoch:
    """An epoch that begins now, whoever had the output before, of a driver that is gone for who looks at its lease."""
    lease = take(store)
    store.write_bytes(EPOCHS.beat_path(lease.number), b"released")
    return begin(store, lease)


def stage_part(epoch: Epoch, *numbers: int) -> Entry:
    """Write a part of rows with one kept and one rejected round each, which does not count yet."""
    return _staged(epoch, finished({number: [kept_round(), rejected_round(2, 1)] for number in numbers}))


def commit_rows(epoch: Epoch, rows: pa.Table) -> Entry:
    """Commit rows in ROW_SCHEMA as one part."""
    entry = _staged(epoch, rows)
    assert add_part(epoch.store, epoch.lease, entry)
    return entry


def _staged(epoch: Epoch, rows: pa.Table) -> Entry:
    return write_part(epoch.store, epoch.lease.tag, *outcomes(rows), rows["plan_row"].to_numpy())


def commit_part(epoch: Epoch, *numbers: int) -> Entry:
    """Write a part as `stage_part` does, and commit it."""
    entry = stage_part(epoch, *numbers)
    assert add_part(epoch.store, epoch.lease, entry)
    return entry


@dataclass(frozen=True)
class FinishedRun(Generic[AnyConfig]):
    """A finished run in its folder."""

    folder: Path
    config: AnyConfig
    report: dict[str, Any]

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def calls(self) -> Counter[str]:
        """The prompts that engines have seen, by digest."""
        return Counter((self.folder / "calls").read_text().split())


def plan_seeds(store: Store, source: SeedSource, fanout: Fanout) -> PlanIndex:
    """Plan in an epoch of its own."""
    return make_plan(PlanWriter(new_epoch(store)), source, fanout)


def plan_numbers(epoch: Epoch, rows: int) -> None:
    """Plan so many rows, whatever they are."""
    writer = PlanWriter(epoch)
    seeds = (Seed(f"seed {number}", "", "", f"{number:032x}") for number in range(rows))
    fanout = Fanout({"a": 1.0}, split=False, samples=1, strategy_fingerprint="s", run_seed=0)
    writer.add("a", [row for number, seed in enumerate(seeds) for row in planned_rows(seed, number, "a", fanout)])
    writer.index.seeds = rows
    writer.commit()
    epoch.refresh()


def record_counts(store: Store) -> Counter[str]:
    """How often each record is in the output, as a reader without a manifest sees it."""
    found = Counter[str]()
    for folder in ("data", "rejected"):
        for table in plain_tables(store, folder):
            found.update(table["record_id"].to_pylist())
    return found


def plain_tables(store: Store, folder: str) -> Iterator[pa.Table]:
    """The Parquet files of a folder, as whoever lists it and knows nothing else reads them."""
    for path, _ in store.list(folder):
        if not path.rpartition("/")[2].startswith((".", "_")):
            with store.open_input(path) as opened:
                yield pq.read_table(opened)


def check_parts(store: Store, rows: set[int]) -> None:
    """The output counts exactly `rows`, as `commit_part` makes them; a plain reader sees those that are published."""
    found = accept.load(store)
    assert sorted(row for entry in found.parts for row in entry.rows.tolist()) == sorted(rows)
    published = [entry for entry in found.parts if not entry.files[0].path.startswith("staging/")]
    seen = {row for entry in published for row in entry.rows.tolist()}
    assert record_counts(store) == Counter(f"row{row:04d}-{number}" for row in seen for number in (1, 2))
    assert found.manifest.outcome_counts().rows == len(rows)
