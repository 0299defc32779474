"""Recounting a whole output: does every planned row have exactly one outcome, and is every file what it says?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ray_jobs.errors import DamagedOutput, MissingFile, StorageError
from ray_jobs.output import accept, ownership, run_files
from ray_jobs.output.accepted import Accepted
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.file_names import DATA, REJECTED, REPORT, STAGING, SUCCESS
from ray_jobs.output.manifest import Entry
from ray_jobs.output.part_files import count_piece, read_part, read_pieces
from ray_jobs.output.plan_files import read_plan_file
from ray_jobs.output.plan_index import UNREADABLE, PlanIndex
from ray_jobs.output.schema import RECORD_SCHEMA
from ray_jobs.storage.store import Store

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

    Memory is two bytes a row, the keys of one part's records, one file of the plan, and one file of records.
    """
    found, plan = accept.planned(store)
    rounds = int(run_files.read_run(store)["records_per_row"])
    finished = store.exists(SUCCESS)
    problems = [*_file_problems(store), *_plan_problems(store, plan), *_orphan_files(store, found)]
    problems += _session_problems(store)
    records = 0
    for entry in found.parts:
        problems += [f"part {entry.name}: {problem}" for problem in _part_problems(store, entry, plan, rounds)]
        records += sum(part.records for part in entry.files)
    problems += _column_problems(store, found)
    done = found.manifest.done(plan.rows)
    missing = np.flatnonzero(~plan.settled(done))
    if finished:
        problems += _finish_problems(found, missing.tolist(), plan.retracted[done[plan.retracted]].tolist())
    return Verdict(plan.asked_rows, plan.asked_rows - missing.size, records, len(found.parts), finished, problems)


def _finish_problems(found: Accepted, missing: Sequence[int], retracted: Sequence[int]) -> Iterator[str]:
    if retracted:
        yield f"the run is marked as finished, but {len(retracted):,} retracted rows are there: {_examples(retracted)}"
    if missing:
        yield f"the run is marked as finished, but {len(missing):,} rows have no outcome: {_examples(missing)}"
    if staged := [part.path for entry in found.parts for part in entry.files if part.path.startswith(STAGING)]:
        yield f"the run is marked as finished, but {len(staged):,} files are not published: {_examples(staged)}"


def _plan_problems(store: Store, plan: PlanIndex) -> Iterator[str]:
    """Files of the plan that are missing, not what was written, or number other rows than the index says."""
    expected = 0
    for file in sorted(plan.files, key=lambda item: item.first):
        if file.first != expected:
            yield f"{file.path}: begins with row {file.first:,}, expected row {expected:,}"
        expected = file.end
        try:
            numbers = read_plan_file(store, file, ["plan_row"])["plan_row"].to_numpy()
        except (StorageError, DamagedOutput) as error:
            yield str(error)
            continue
        if not np.array_equal(numbers, np.arange(file.first, file.end)):
            yield f"{file.path}: holds other rows than {file.first:,} to {file.end - 1:,}"
    if expected != plan.rows:
        yield f"the files of the plan hold {expected:,} rows, its index says {plan.rows:,}"


def _orphan_files(store: Store, found: Accepted) -> Iterator[str]:
    named = {part.path for entry in found.parts for part in entry.files}
    present = {path for folder in (DATA, REJECTED) for path, _ in store.list(folder)}
    if orphans := sorted(present - named):
        yield f"{len(orphans):,} files belong to no part: {_examples(orphans)}"


def _file_problems(store: Store) -> Iterator[str]:
    """A mark that other commands refuse, and a report that nobody can read."""
    try:
        ownership.kind_of(store)
    except DamagedOutput as error:
        yield str(error)
    try:
        if "records" not in run_files.read_json(store, REPORT):
            yield f"{store.url_of(REPORT)}: expected the report of a run; the next `evolve run` writes it anew"
    except MissingFile:
        return
    except DamagedOutput as error:
        yield f"{error}; the next `evolve run` writes it anew"


def _session_problems(store: Store) -> Iterator[str]:
    for path, session in run_files.read_sessions(store):
        if session is None:
            yield f"{path}: expected the figures of a session; they are left out of the report"


def _column_problems(store: Store, found: Accepted) -> Iterator[str]:
    """Files whose columns do not go together, which other commands refuse: one column of two types."""
    for folder in (DATA, REJECTED):
        kinds = {entry.schema: part.path for entry in found.parts for part in entry.files if part.folder == folder}
        if not kinds:
            continue
        try:
            pa.unify_schemas([_columns(store, path) for path in kinds.values()])
        except pa.ArrowException as error:
            yield f"{folder}/ has files with {len(kinds)} kinds of columns that do not go together: {error}"
        except (StorageError, OSError):
            # told as a problem of its part
            continue


def _columns(store: Store, path: str) -> pa.Schema:
    with store.open_input(path) as opened:
        return pq.read_schema(opened).remove_metadata()


def _part_problems(store: Store, entry: Entry, plan: PlanIndex, rounds: int) -> Iterator[str]:
    keys, outcome_counts = [KEYS.empty_table()], OutcomeCounts()
    wanted = pa.array(entry.rows)
    try:
        for part in entry.files:
            for records in read_pieces(pa.BufferReader(read_part(store, part))):
                keys.append(records.select(KEYS.names))
                counted = records.filter(pc.is_in(records["plan_row"], wanted)) if entry.extra else records
                outcome_counts.add(count_piece(part.folder, counted))
    except DamagedOutput as error:
        yield str(error)
        return
    except (StorageError, pa.ArrowException, OSError) as error:
        yield f"cannot be read: {error}"
        return
    if outcome_counts.outcomes != entry.outcome_counts.outcomes:
        yield "its manifest entry counts other outcomes than its files hold"
    yield from _row_problems(pa.concat_tables(keys), entry, plan, rounds)


def _row_problems(keys: pa.Table, entry: Entry, plan: PlanIndex, rounds: int) -> Iterator[str]:
    repeated = keys.num_rows - pc.count_distinct(keys["record_id"]).as_py()
    if repeated:
        yield f"{repeated:,} records stand there twice"
    rows, counts = np.unique(keys["plan_row"].to_numpy(), return_counts=True)
    counted = np.isin(entry.rows, rows).all() and len(rows) == len(entry.rows) + entry.extra
    if not counted:
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
            mask |= (rows >= file.first) & (rows < file.end)
    return mask


def _examples(values: Sequence[object]) -> str:
    shown = ", ".join(str(value) for value in values[:SHOWN])
    return f"{shown}, ..." if len(values) > SHOWN else shown
