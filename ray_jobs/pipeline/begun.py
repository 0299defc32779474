"""Planned rows that have begun: with their rounds, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from ray_jobs.output.plan import QUERY_FELL
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.schema import CREATED_AT, FAILED, KEPT, REJECTED, ROUNDS


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


def as_records(rows: pa.Table) -> pa.Table:
    """Planned pairs as rows with one kept round, whose output is the seed's: nothing has evolved them."""
    outputs = rows["seed_output"].fill_null("").to_pylist()
    place = rows.schema.get_field_index("seed_output")
    once = rows.set_column(place, rows.schema.field(place), pa.nulls(rows.num_rows, pa.string()))
    return _as_they_are(once, outputs)


def as_tasks(rows: pa.Table) -> pa.Table:
    """Planned instructions as rows with one kept round that has no output yet."""
    return _as_they_are(rows, [None] * rows.num_rows)


def _as_they_are(rows: pa.Table, outputs: Sequence[str | None]) -> pa.Table:
    """Rows that have no evolver, with their outputs."""
    rounds = [
        [
            {
                "round": 0,
                "parent_round": 0,
                "status": KEPT,
                "instruction": row["seed_instruction"],
                "output": output,
                "prompt_tokens": 0,
                "completion_tokens": 0,
            }
        ]
        for row, output in zip(rows.to_pylist(), outputs, strict=True)
    ]
    place = rows.schema.get_field_index("evolver")
    nobody = rows.set_column(place, rows.schema.field(place), pa.nulls(rows.num_rows, pa.string()))
    return begun(nobody, rounds)
