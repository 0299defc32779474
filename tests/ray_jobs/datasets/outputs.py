"""Outputs of runs, written by the pipeline's own writer, with records that a test decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.output.epochs import Epoch, add_part
from ray_jobs.output.file_names import RUN
from ray_jobs.output.join import join_parts
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from ray_jobs.storage.store import Store
from tests.ray_jobs.samples import new_epoch

RUN_ID = "0123456789abcdef"
Record = dict[str, Any]


def record(number: int, **values: Any) -> Record:
    """A kept record whose texts and losses derive from its number; `values` replace any of them.

    Five records a seed, two evolvers, three rounds, and scores as the formulas give them.
    """
    row_id, round_number = f"{number // 3:032x}", number % 3 + 1
    base: Record = {
        "record_id": f"{row_id}-{round_number}",
        "row_id": row_id,
        "seed_id": f"{number // 5:032x}",
        "parent_id": f"{row_id}-{round_number - 1}",
        "round": round_number,
        "strategy": "evol_instruct",
        "operator": ("add_constraint", "deepen", "concretise")[number % 3],
        "evolver": ("small", "large")[number // 3 % 2],
        "evolver_model": "scripted",
        "instruction": f"Explain step {number} of process {number * 7919 % 1000} to {number * 104729 % 977} people.",
        "input": "" if number % 2 else f"Process {number}",
        "output": f"Step {number} begins with {number * 31 % 89}.",
        "seed_instruction": f"Explain process {number // 5}.",
        "loss_q": 1 + number % 7 / 4,
        "loss_a_given_q": 0.5 + number % 11 / 10,
        "loss_a": 1 + number % 13 / 10,
        "run_id": RUN_ID,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "plan_row": number // 3,
    }
    base |= values
    q, joint, a = (base[name] for name in ("loss_q", "loss_a_given_q", "loss_a"))
    ifd = None if None in (joint, a) else joint / a
    return {"ifd": ifd, "ic_ifd": None if None in (q, ifd) else ifd / q, **base}


def write_output(
    store: Store, parts: Sequence[Sequence[Record]], schema: pa.Schema = RECORD_SCHEMA, publishes: bool = True
) -> None:
    """Make `store` the output of a run with these parts: of a finished one, unless nothing is published."""
    epoch = new_epoch(store)
    records = [record for part in parts for record in part]
    rows = 1 + max((record["plan_row"] for record in records), default=0)
    seeds = len({record["seed_id"] for record in records})
    epoch.add_plan(PlanIndex(rows=max(rows, epoch.accepted.index.rows), seeds=seeds), 0)
    for part in parts:
        kept = pa.Table.from_pylist([dict(record) for record in part], schema)
        numbers = np.unique([record["plan_row"] for record in part]).astype(np.int64)
        entry = write_part(store, epoch.lease.tag, kept, REJECTED_SCHEMA.empty_table(), numbers)
        add_part(store, epoch.lease, entry)
    store.write_bytes(RUN, json.dumps({"run_id": RUN_ID}).encode())
    if publishes:
        publish(epoch)


def publish(epoch: Epoch) -> None:
    """Publish each part by itself, and mark the run as finished."""
    for entry in epoch.refresh().parts:
        join_parts(epoch, [entry], lambda: None)
    epoch.refresh()
    epoch.finish()


def read_records(store: Store, folder: str = "data") -> list[Record]:
    """All records below a folder, in the order of the files."""
    found: list[Record] = []
    for path, _ in store.list(folder):
        with store.open_input(path) as opened:
            found += pq.read_table(opened).to_pylist()
    return found


def ids(records: Sequence[Record]) -> list[str]:
    """The record ids."""
    return [record["record_id"] for record in records]
