"""The Arrow schemas of analyses: their plan, what their pools find, and the tables they leave.

docs/analyses.md describes the tables for their readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.output.layout import Layout
from ray_jobs.output.schema import KEPT

_KEYS = [
    pa.field("record_id", pa.string(), nullable=False),
    pa.field("seed_id", pa.string(), nullable=False),
    pa.field("evolver", pa.string()),
    pa.field("round", pa.int32(), nullable=False),
]
PLAN_ROW = pa.field("plan_row", pa.int64(), nullable=False)
PLAN = pa.schema(
    [
        PLAN_ROW,
        *_KEYS,
        pa.field("instruction", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("other_record_id", pa.string()),
        pa.field("other_instruction", pa.string()),
        pa.field("other_input", pa.string()),
        pa.field("other_output", pa.string()),
    ]
)
"""One record to measure, of round 0 for a seed; the `other_` fields are those of the record that it meets, if any."""

_OUTCOME = [
    pa.field("status", pa.string()),
    pa.field("stage", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("error", pa.string()),
    pa.field("reply", pa.string()),
]
_TOKENS = [pa.field("prompt_tokens", pa.int64()), pa.field("completion_tokens", pa.int64())]

DIFFICULTY = (
    pa.field("difficulty_label", pa.string()),
    pa.field("difficulty_level", pa.int32()),
    pa.field("expected_level", pa.float64()),
)
DIFFICULTY_SCORE = (pa.field("difficulty_score", pa.float64()), pa.field("expected_score", pa.float64()))
WIN = (
    pa.field("verdict", pa.string()),
    pa.field("agreed", pa.bool_()),
    pa.field("win_score", pa.float64()),
    pa.field("expected_win_score", pa.float64()),
)
REWARD = (pa.field("reward", pa.float64()),)
EVOLUTION_REWARD = (pa.field("evolution_reward", pa.float64()),)
EMBEDDING = (pa.field("embedding", pa.list_(pa.float32())), pa.field("truncated", pa.bool_()))
NEIGHBOURS = pa.schema(
    [
        *_KEYS,
        pa.field("neighbour_distance", pa.float64()),
        pa.field("nearest_id", pa.string()),
        pa.field("repeats", pa.int32(), nullable=False),
    ]
)
PHRASES = (pa.field("phrases", pa.list_(pa.string())),)
TRAJECTORIES = pa.schema([*_KEYS, PHRASES[0].with_nullable(False)])
Values = Sequence[pa.Field]


def with_findings(rows: pa.Table, findings: Sequence[dict[str, Any]], values: Values) -> pa.Table:
    """Planned rows with what became of them: outcome, tokens and the columns `values`. No status: never begun."""
    fields = pa.schema([*_OUTCOME, *_TOKENS, *values])
    found = pa.Table.from_pylist([*findings], fields)
    for field in fields:
        rows = rows.append_column(field, found[field.name])
    return rows


@dataclass(frozen=True)
class FindingsLayout(Layout):
    """Rows with findings: a record each, the kept ones with the columns `kept` beside keys and tokens."""

    kept: tuple[pa.Field, ...]

    def finished(self, rows: pa.Table) -> pa.Table:
        """Rows with an outcome."""
        return rows.filter(pc.is_valid(rows["status"]))

    def split(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Measured records, and those that were not, with the reply that said nothing."""
        measured = pc.equal(rows["status"], KEPT)
        kept = pa.schema([*_KEYS, *self.kept, *_TOKENS, PLAN_ROW])
        rest = pa.schema([*_KEYS, *_OUTCOME, PLAN.field("instruction"), *_TOKENS, PLAN_ROW])
        return (
            rows.filter(measured).select(kept.names).cast(kept),
            rows.filter(pc.invert(measured)).select(rest.names).cast(rest),
        )
