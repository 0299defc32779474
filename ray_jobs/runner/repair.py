"""Putting right what can be put right in an output, without engines, and saying what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import pyarrow as pa

from ray_jobs.errors import DamagedOutput, JobError, MissingFile
from ray_jobs.output import lease
from ray_jobs.output.checksums import checksum
from ray_jobs.output.epochs import Epoch, begin
from ray_jobs.output.join import join_parts, small_parts
from ray_jobs.output.manifest import Entry
from ray_jobs.output.part_files import read_part
from ray_jobs.output.plan import encode_plan, make_plan
from ray_jobs.output.plan_files import read_plan_file
from ray_jobs.output.plan_index import PlanFile, PlanIndex
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.pipeline.job import PooledJob, SeededJob
from ray_jobs.storage.store import Store

Say = Callable[[str], None]


def repair(store: Store, job: PooledJob, say: Say) -> None:
    """Remove leftovers, take damaged parts out, put damaged plan files back, publish what is committed; tell of each.

    Rows that are taken out are done again by the next run. Raises LeaseHeld where a run is at work, and DamagedOutput
    in the end where something cannot be put right, with what is lost.
    """
    holder = lease.acquire(store)
    try:
        ignored = list[DamagedOutput | MissingFile]()
        epoch = begin(store, holder.lease, ignored=ignored.append)
        for error in ignored:
            say(f"{error}; it does not count any more, and its rows are made again")
        lost = _mend_plan(epoch, job, say)
        say(f"{store.url}: {epoch.clean()}")
        _drop_damaged(epoch, say)
        while small := small_parts(epoch.refresh().parts):
            say(f"{len(small):,} parts joined into {join_parts(epoch, small, holder.check):,}")
        if lost:
            raise DamagedOutput("\n  ".join(["what is left cannot be put right:", *lost]))
    finally:
        holder.release()


def _drop_damaged(epoch: Epoch, say: Say) -> None:
    damaged = [entry for entry in epoch.accepted.parts if _is_damaged(epoch.store, entry)]
    for entry in damaged:
        say(f"part {entry.name}: is damaged and was taken out; its {len(entry.rows):,} rows are made again")
    if damaged:
        epoch.drop(damaged)


def _is_damaged(store: Store, entry: Entry) -> bool:
    try:
        for part in entry.files:
            read_part(store, part)
    except (DamagedOutput, MissingFile):
        return True
    return False


def _mend_plan(epoch: Epoch, job: PooledJob, say: Say) -> list[str]:
    """Put back the files of the plan that the seeds still give to the byte; what is wrong with the others."""
    wrong = {file: problem for file in epoch.accepted.index.files if (problem := _problem(epoch.store, file))}
    if not wrong:
        return []
    wanted = {file.checksum for file in wrong}
    again = _plan_again(epoch.store, job, wanted) if isinstance(job, SeededJob) else {}
    lost = []
    for file, problem in wrong.items():
        if data := again.get(file.checksum):
            epoch.store.write_bytes(file.path, data)
            say(f"{file.path}: was made again from the seeds, to the byte")
        else:
            lost.append(f"{problem} (the seeds as they are now do not give this file)")
    return lost


def _problem(store: Store, file: PlanFile) -> str | None:
    try:
        read_plan_file(store, file)
    except (DamagedOutput, MissingFile) as error:
        return str(error)
    return None


def _plan_again(store: Store, job: SeededJob, wanted: Set[str]) -> dict[str, bytes]:
    """The `wanted` files of a plan of all seeds, by their checksums; none where seeds cannot be read any more."""
    writer = _Collector(store, wanted)
    try:
        make_plan(writer, job.seed_source(), job.fanout())
    except JobError:
        return {}
    return writer.files


class _Collector:
    """Takes a plan as a PlanWriter does, writes nothing, and keeps the files of the checksums `wanted`."""

    def __init__(self, store: Store, wanted: Set[str]) -> None:
        self.store, self.index, self.files = store, PlanIndex(), dict[str, bytes]()
        self._wanted = wanted

    def add(
        self,
        evolver: str,  # noqa: ARG002 (the bytes do not depend on it)
        rows: Sequence[Mapping[str, Any]],
        schema: pa.Schema = PLAN_SCHEMA,
    ) -> None:
        """Encode the rows as they would be written."""
        data = encode_plan(rows, self.index.rows, schema)
        if (name := checksum(data)) in self._wanted:
            self.files[name] = data
        self.index.rows += len(rows)

    def check(self) -> None:
        """Nothing ends it."""

    def commit(self) -> None:
        """Nothing is to be kept."""
