"""The beginnings of a stream: planned rows as Ray Data reads them, and seeds that could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import ray.data
from ray.data import Dataset

from ray_jobs.output.plan import QUERY_FELL
from ray_jobs.output.plan_index import UNREADABLE
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.schema import CREATED_AT, FAILED, PLAN_SCHEMA, REJECTED, ROUNDS
from ray_jobs.pipeline.job import Blocks, Pending
from ray_jobs.pipeline.plan_source import PlanSource
from ray_jobs.storage.store import Store


def read_plan(store: Store, name: str, blocks: Blocks, schema: pa.Schema = PLAN_SCHEMA) -> Dataset:
    """The pending rows of one branch of the plan, which was written in `schema`."""
    source = PlanSource(store, name, blocks, schema)
    rows: Dataset = ray.data.read_datasource(source, override_num_blocks=max(1, len(blocks)))
    return rows


def unreadable_rows(store: Store, pending: Pending) -> Dataset | None:
    """The pending seeds that could not be read, ended as failed with the reader's reason; None where there is none."""
    if not pending.unreadable:
        return None
    rows: Dataset = read_plan(store, UNREADABLE, pending.unreadable).map_batches(
        unreadable_seeds, batch_format="pyarrow"
    )
    return rows


def union(branches: Iterable[Dataset]) -> Dataset | None:
    """All branches as one stream; None of none."""
    together: Dataset | None = None
    for branch in branches:
        together = together.union(branch) if together else branch
    return together


def unreadable_seeds(rows: pa.Table) -> pa.Table:
    """One round 0 for each seed that could not be read, failed, or that fell by a rule on queries, rejected."""
    rounds = [
        [{"round": 0, "parent_round": 0, **_fate(reason), "reason": reason, "error": error}]
        for reason, error in zip(rows["seed_reason"].to_pylist(), rows["seed_error"].to_pylist(), strict=True)
    ]
    return begun(rows, rounds)


def _fate(reason: str) -> RoundRow:
    fell = reason.startswith(QUERY_FELL)
    return {"status": REJECTED, "stage": "query"} if fell else {"status": FAILED, "stage": "read"}


def begun(rows: pa.Table, rounds: Sequence[Sequence[RoundRow] | None]) -> pa.Table:
    """Planned rows with their rounds and the time: a table in ROW_SCHEMA."""
    now = pa.array([datetime.now(UTC)] * rows.num_rows, CREATED_AT.type)
    return rows.append_column(ROUNDS, pa.array(rounds, ROUNDS.type)).append_column(CREATED_AT, now)
