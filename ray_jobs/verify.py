"""Recounting a whole output: does every planned row have exactly one outcome, and is every file what it says?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs import manifest, report
from ray_jobs.errors import OutputError, StorageError
from ray_jobs.manifest import Entry, Part
from ray_jobs.part_files import pieces, tally_piece
from ray_jobs.parts import DATA, REJECTED, new_checksum
from ray_jobs.plan import UNREADABLE, PlanIndex, load_index
from ray_jobs.rows import RECORD_SCHEMA
from ray_jobs.storage import Store
from ray_jobs.tally import Tally

READ_BYTES = 8 << 20
KEYS = pa.schema([RECORD_SCHEMA.field(name) for name in ("record_id", "plan_row")])
SHOWN = 5
"""How many examples a problem names."""


@dataclass(frozen=True)
class Verdict:
    """What `verify` counted, and what is wrong. `finished` tells whether the run claims to be done."""

    rows: int
    done: int
    records: int
    parts: int
    finished: bool
    problems: Sequence[str]


def verify(store: Store) -> Verdict:
    """Read everything and recount. Raises OutputError where nothing is.

    Memory is two bytes a row, the keys of one part's records, and a piece of its file.
    """
    rounds = int(report.read_run(store)["records_per_row"])
    plan = load_index(store)
    if plan is None:
        raise OutputError(f"{store.url}: there is no run here (no plan)")
    found = manifest.load(store)
    finished = store.exists(report.SUCCESS)
    seen = np.zeros(plan.rows, dtype=np.uint8)
    problems = list(_stray_files(store, [*found.entries, *found.replaced]))
    records = 0
    for entry in found.entries:
        rows = entry.rows
        in_plan = rows[(rows >= 0) & (rows < plan.rows)]
        seen[in_plan] += seen[in_plan] < np.iinfo(np.uint8).max
        problems += [f"part {entry.name}: {problem}" for problem in _part_problems(store, entry, plan, rounds)]
        records += sum(part.records for part in entry.files)
    if (doubled := np.flatnonzero(seen > 1)).size:
        problems.append(f"{doubled.size:,} rows are in more than one part: {_examples(doubled.tolist())}")
    missing = np.flatnonzero(seen == 0)
    if finished and missing.size:
        problems.append(
            f"the run is marked as finished, but {missing.size:,} rows have no outcome: {_examples(missing.tolist())}"
        )
    if finished and found.replaced:
        problems.append(f"{len(found.replaced):,} replaced parts were left behind")
    return Verdict(plan.rows, plan.rows - missing.size, records, len(found.entries), finished, problems)


def _stray_files(store: Store, entries: Sequence[Entry]) -> Iterator[str]:
    named = {part.path for entry in entries for part in entry.files}
    present = {path for folder in (DATA, REJECTED) for path, _ in store.list(folder)}
    if strays := sorted(present - named):
        yield f"{len(strays):,} files belong to no part: {_examples(strays)}"


def _part_problems(store: Store, entry: Entry, plan: PlanIndex, rounds: int) -> Iterator[str]:
    keys, tally = [KEYS.empty_table()], Tally()
    try:
        for part in entry.files:
            if _checksum(store, part) != part.checksum:
                yield f"{part.path} is not what was written: its checksum differs"
        for folder, records in pieces(store, entry):
            keys.append(records.select(KEYS.names))
            tally.add(tally_piece(folder, records))
    except (StorageError, pa.ArrowException, OSError) as error:
        yield f"cannot be read: {error}"
        return
    if tally.outcomes != entry.tally.outcomes:
        yield "its manifest entry counts other outcomes than its files hold"
    yield from _row_problems(pa.concat_tables(keys), entry, plan, rounds)


def _checksum(store: Store, part: Part) -> str:
    digest = new_checksum()
    with store.open_input(part.path) as opened:
        while data := opened.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def _row_problems(keys: pa.Table, entry: Entry, plan: PlanIndex, rounds: int) -> Iterator[str]:
    repeated = keys.num_rows - pc.count_distinct(keys["record_id"]).as_py()
    if repeated:
        yield f"{repeated:,} records stand there twice"
    rows, counts = np.unique(keys["plan_row"].to_numpy(), return_counts=True)
    if not np.array_equal(rows, entry.rows):
        yield "its files hold other rows than its manifest entry says"
    wrong = rows[counts != np.where(_unreadable(rows, plan), 1, rounds)]
    if wrong.size:
        yield f"{wrong.size:,} rows do not have the records of all their rounds: {_examples(wrong.tolist())}"


def _unreadable(
    rows: np.ndarray[tuple[int], np.dtype[np.int64]], plan: PlanIndex
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask = np.zeros(len(rows), dtype=np.bool_)
    for file in plan.files:
        if file.evolver == UNREADABLE:
            mask |= (rows >= file.first) & (rows < file.first + file.rows)
    return mask


def _examples(values: Sequence[object]) -> str:
    shown = ", ".join(str(value) for value in values[:SHOWN])
    return f"{shown}, ..." if len(values) > SHOWN else shown
