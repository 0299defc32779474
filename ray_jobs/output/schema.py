"""The Arrow schemas of the plan, of rows on their way, and of the output; and the step from nested rows to records.

The columns of the output are those of the table in `columns.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.output.columns import BY_NAME, COLUMNS, kept_schema, rejected_schema

KEPT: Final = "kept"
REJECTED: Final = "rejected"
FAILED: Final = "failed"
ROW_GROUP_ROWS = 10_000

PLAN_SCHEMA = pa.schema(
    [
        pa.field("plan_row", pa.int64(), nullable=False),
        pa.field("row_id", pa.string(), nullable=False),
        pa.field("seed_id", pa.string(), nullable=False),
        pa.field("seed_index", pa.int64()),
        pa.field("evolver", pa.string()),
        pa.field("sample", pa.int32()),
        pa.field("seed_instruction", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("seed_output", pa.string()),
        pa.field("seed_reason", pa.string()),
        pa.field("seed_error", pa.string()),
        pa.field("context", pa.string()),
    ]
)
"""One planned row. A seed that could not be read has no evolver, and says why in `seed_reason` and `seed_error`.

`context` is what is known of the row besides, as JSON: what an earlier phase found out, for jobs that have phases, and
of scored pairs where the pair stood, with its other columns.
"""

ROUND_TYPE = pa.struct(
    [
        pa.field("parent_round", pa.int32()),
        *(pa.field(column.name, column.type) for column in COLUMNS if column.origin == "round"),
    ]
)
"""How one round stands. Rounds count from 1; `parent_round` 0 is the seed."""

ROUNDS = pa.field("rounds", pa.list_(ROUND_TYPE))
CREATED_AT = pa.field("created_at", BY_NAME["created_at"].type)
ROW_SCHEMA = PLAN_SCHEMA.append(ROUNDS).append(CREATED_AT)
"""A planned row with its rounds. Null rounds mean that the run was stopped before the row began."""

RECORD_SCHEMA = kept_schema()
"""data/*.parquet: one kept record a line."""

REJECTED_SCHEMA = rejected_schema()
"""rejected/*.parquet: one rejected or failed record a line, with the text as far as it came."""


def flatten(
    rows: pa.Table, constants: Mapping[str, str | None], evolver_models: dict[str, str], tell_rows: bool = False
) -> pa.Table:
    """Lay nested rows out as one line a round, with the columns of both output schemas and `status`.

    `constants` are the columns that are the same for the whole run; `evolver_models` maps an evolver to its model,
    which is also the responder's where `constants` names no other. With `tell_rows`, `seed_row` is the rows' context.
    """
    rounds = rows["rounds"].combine_chunks()
    parents = pc.list_parent_indices(rounds)
    flat = rounds.flatten()
    columns = {name: pc.struct_field(flat, name) for name in ROUND_TYPE.names}
    columns |= {name: rows[name].combine_chunks().take(parents) for name in rows.column_names if name != ROUNDS.name}
    columns["seed_row"] = columns["context"] if tell_rows else pa.nulls(len(flat), pa.string())
    columns["record_id"] = _record_id(columns["row_id"], columns["round"])
    of_seed = pc.equal(columns["parent_round"], 0)
    parent = _record_id(columns["row_id"], columns["parent_round"])
    columns["parent_id"] = pc.if_else(of_seed, columns["seed_id"], parent)
    columns["evolver_model"] = _mapped(columns["evolver"], evolver_models)
    columns["responder_model"] = columns["evolver_model"]
    for name, value in constants.items():
        columns[name] = pa.array([value] * len(flat), pa.string())
    return pa.table(columns)


def split_outcomes(records: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Flat records as (kept, rejected or failed), each in its output schema."""
    kept = pc.equal(records["status"], KEPT)
    return (
        records.filter(kept).select(RECORD_SCHEMA.names).cast(RECORD_SCHEMA),
        records.filter(pc.invert(kept)).select(REJECTED_SCHEMA.names).cast(REJECTED_SCHEMA),
    )


def _record_id(row_id: pa.Array, number: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(row_id, number.cast(pa.string()), "-")


def _mapped(values: pa.Array, mapping: dict[str, str]) -> pa.Array:
    keys = pa.array(list(mapping), pa.string())
    return pa.array(list(mapping.values()), pa.string()).take(pc.index_in(values, keys))
