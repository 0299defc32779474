"""The Arrow schemas of the plan, of rows on their way, and of the output; and the step from nested rows to records.

docs/data.md describes the output's columns for its readers.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

KEPT, REJECTED, FAILED = "kept", "rejected", "failed"
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
        pa.field("round", pa.int32()),
        pa.field("parent_round", pa.int32()),
        pa.field("status", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("error", pa.string()),
        pa.field("operator", pa.string()),
        pa.field("instruction", pa.string()),
        pa.field("trajectory", pa.string()),
        pa.field("output", pa.string()),
        pa.field("rejected_outputs", pa.list_(pa.string())),
        pa.field("evolve_finish_reason", pa.string()),
        pa.field("respond_finish_reason", pa.string()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("mean_top1_prob", pa.float64()),
        pa.field("top1_counts_first", pa.list_(pa.int32())),
        pa.field("top1_counts_rest", pa.list_(pa.int32())),
        pa.field("loss_q", pa.float64()),
        pa.field("loss_a_given_q", pa.float64()),
        pa.field("loss_a", pa.float64()),
        pa.field("n_q", pa.int32()),
        pa.field("n_a", pa.int32()),
        pa.field("ifd", pa.float64()),
        pa.field("ic_ifd", pa.float64()),
        pa.field("instruction_length", pa.int32()),
        pa.field("reward", pa.float64()),
        pa.field("score_note", pa.string()),
        pa.field("reasoning", pa.string()),
        pa.field("reasoning_tokens", pa.int64()),
    ]
)
"""How one round stands. Rounds count from 1; `parent_round` 0 is the seed."""

ROUNDS = pa.field("rounds", pa.list_(ROUND_TYPE))
CREATED_AT = pa.field("created_at", pa.timestamp("us", tz="UTC"))
ROW_SCHEMA = PLAN_SCHEMA.append(ROUNDS).append(CREATED_AT)
"""A planned row with its rounds. Null rounds mean that the run was stopped before the row began."""

_KEYS = [
    pa.field("record_id", pa.string(), nullable=False),
    pa.field("row_id", pa.string(), nullable=False),
    pa.field("seed_id", pa.string(), nullable=False),
    pa.field("parent_id", pa.string(), nullable=False),
    pa.field("round", pa.int32(), nullable=False),
    pa.field("strategy", pa.string()),
    pa.field("operator", pa.string()),
    pa.field("evolver", pa.string()),
    pa.field("evolver_model", pa.string()),
]
_TAIL = [
    pa.field("run_id", pa.string(), nullable=False),
    CREATED_AT,
    pa.field("plan_row", pa.int64(), nullable=False),
    pa.field("seed_index", pa.int64()),
    pa.field("sample", pa.int32()),
    pa.field("seed_row", pa.string()),
    *(ROUND_TYPE.field(name) for name in ("reasoning", "reasoning_tokens")),
]
RECORD_SCHEMA = pa.schema(
    [
        *_KEYS,
        pa.field("instruction", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("output", pa.string(), nullable=False),
        pa.field("seed_instruction", pa.string(), nullable=False),
        pa.field("responder_model", pa.string()),
        pa.field("evolve_finish_reason", pa.string()),
        pa.field("respond_finish_reason", pa.string()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("mean_top1_prob", pa.float64()),
        ROUND_TYPE.field("top1_counts_first"),
        ROUND_TYPE.field("top1_counts_rest"),
        pa.field("scorer_model", pa.string()),
        *(ROUND_TYPE.field(name) for name in ("loss_q", "loss_a_given_q", "loss_a", "n_q", "n_a")),
        *(ROUND_TYPE.field(name) for name in ("ifd", "ic_ifd", "instruction_length")),
        pa.field("reward_model", pa.string()),
        *(ROUND_TYPE.field(name) for name in ("reward", "score_note")),
        pa.field("trajectory", pa.string()),
        pa.field("rejected_outputs", pa.list_(pa.string())),
        *_TAIL,
    ]
)
"""data/*.parquet: one kept record a line."""

REJECTED_SCHEMA = pa.schema(
    [
        *_KEYS,
        pa.field("status", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("instruction", pa.string()),
        pa.field("input", pa.string(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("seed_instruction", pa.string(), nullable=False),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("trajectory", pa.string()),
        *_TAIL,
    ]
)
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
