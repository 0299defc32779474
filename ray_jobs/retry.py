"""Taking failed rows out of an output, so that the next run does them again."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs import lease, manifest, report
from ray_jobs.manifest import Entry
from ray_jobs.part_files import pieces
from ray_jobs.parts import REJECTED
from ray_jobs.reconcile import rewrite
from ray_jobs.rows import FAILED
from ray_jobs.storage import Store


def forget_failed(store: Store) -> int:
    """Take every row with a failed record out of the output, whole, and return how many rows that were.

    Seeds that could not be read stay: reading them again would fail again. Raises LeaseHeld where a run is at work.
    """
    holder = lease.acquire(store)
    try:
        found = manifest.load(store)
        return sum(_forget(store, entry) for entry in found.entries if _has_failed(entry))
    finally:
        holder.release()


def _forget(store: Store, entry: Entry) -> int:
    found = [_failed_rows(records) for folder, records in pieces(store, entry) if folder == REJECTED]
    rows = pc.unique(pa.chunked_array(found, pa.int64()))
    if len(rows):
        store.delete([report.SUCCESS])
        rewrite(store, entry, _without(rows))
    return len(rows)


def _failed_rows(rejected: pa.Table) -> pa.Array:
    failed = pc.and_(pc.equal(rejected["status"], FAILED), pc.not_equal(rejected["stage"], "read"))
    return rejected.filter(failed)["plan_row"].combine_chunks()


def _has_failed(entry: Entry) -> bool:
    return any(status == FAILED for _, _, status, _ in entry.tally.outcomes)


def _without(rows: pa.Array) -> Callable[[pa.Table], pa.Array]:
    return lambda table: pc.invert(pc.is_in(table["plan_row"], rows))
