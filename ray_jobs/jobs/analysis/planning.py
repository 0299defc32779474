"""The plan of an analysis: the records of a dataset, and its seeds, as rows to measure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any

from evolve.strategies.trajectories import described
from ray_jobs.datasets.source import Source
from ray_jobs.errors import OutputError
from ray_jobs.jobs.analysis.tables import PLAN
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_files import read_plan_file
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.seeds.idset import ID_BYTES, IdSet
from ray_jobs.storage.store import Store

RECORDS = "records"
"""The one branch of the plan, in the place of an evolver."""
KEYS = ("record_id", "seed_id", "evolver", "round")
COLUMNS = (*KEYS, "sample", "instruction", "input", "output", "seed_instruction")
Row = dict[str, Any]
"""A row of the plan without its number."""


def plan_rows(writer: PlanWriter, batches: Iterable[Sequence[Row]], signature: str) -> PlanIndex:
    """Plan the rows whose records are not planned yet, and return the index of the whole plan.

    Nothing is read where the plan was made whole of what has this `signature`. The index counts seeds among the rows.
    """
    index = writer.index
    if index.signature == signature:
        return index
    known = _planned(writer.store, index)
    for batch in batches:
        new = list(compress(batch, known.add([_digest(row["record_id"]) for row in batch])))
        if new:
            index.seeds += sum(row["round"] == 0 for row in new)
            writer.add(RECORDS, new, PLAN)
            writer.commit()
    index.signature = signature
    writer.commit()
    return index


def answered(source: Source) -> Iterator[list[Row]]:
    """The records of a dataset with their outputs."""
    for batch in source.batches([*KEYS, "instruction", "input", "output"]):
        yield batch.to_pylist()


def with_trajectories(source: Source) -> Iterator[list[Row]]:
    """The records of a dataset that list methods or a plan, each with its trajectory as its output.

    Raises OutputError where none does.
    """
    found = False
    for batch in source.batches([*KEYS, "instruction", "input", "trajectory"]):
        rows = []
        for record in batch.to_pylist():
            trajectory = record.pop("trajectory")
            if any(described(trajectory)):
                rows.append(record | {"output": trajectory})
        found = found or bool(rows)
        yield rows
    if not found:
        raise OutputError(
            f"{source.store.url}: none of its records tells in its column trajectory how it was evolved; expected "
            "those of a strategy whose evolvers write that down, such as auto_evol"
        )


def records_and_seeds(source: Source, seeds: bool) -> Iterator[list[Row]]:
    """The records of a dataset without their outputs, and with `seeds` their seeds, as often as they occur."""
    for batch in source.batches([name for name in COLUMNS if name != "output"]):
        rows = []
        for record in batch.to_pylist():
            if seeds and record["round"] > 0:
                rows.append(_seed(record))
            rows.append({key: record[key] for key in KEYS} | _task(record))
        yield rows


def _seed(record: Row) -> Row:
    seed = {"record_id": record["seed_id"], "seed_id": record["seed_id"], "evolver": None, "round": 0}
    return seed | {"instruction": record["seed_instruction"], "input": record["input"]}


def _task(record: Row) -> Row:
    return {"instruction": record["instruction"], "input": record["input"]}


def _planned(store: Store, index: PlanIndex) -> IdSet:
    known = IdSet()
    for file in index.files:
        ids = read_plan_file(store, file, ["record_id"])["record_id"]
        known.add([_digest(row) for row in ids.to_pylist()])
    return known


def _digest(record_id: str) -> bytes:
    return hashlib.blake2b(record_id.encode(), digest_size=ID_BYTES).digest()
