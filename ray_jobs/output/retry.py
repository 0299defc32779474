"""Taking rows out of an output: failed ones, so that the next run does them again, and retracted ones for good."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.output import lease
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.epochs import Epoch, begin
from ray_jobs.output.file_names import REJECTED
from ray_jobs.output.manifest import Entry
from ray_jobs.output.part_files import PartWriter, count_piece, counted_pieces
from ray_jobs.output.replies import forget
from ray_jobs.output.schema import FAILED
from ray_jobs.storage.store import Store


def drop_failed(store: Store) -> int:
    """Take every row with a failed record out of the output, whole, and return how many rows that were.

    Seeds that could not be read stay: reading them again would fail again. Raises LeaseHeld where a run is at work,
    LeaseLost, and DamagedOutput where a file is not what was written.
    """
    holder = lease.acquire(store)
    try:
        return drop_failed_rows(begin(store, holder.lease))
    finally:
        holder.release()


def drop_failed_rows(epoch: Epoch) -> int:
    """As `drop_failed`, in an epoch that has just begun."""
    epoch.clean()
    failed = [(entry, _failed_of(epoch, entry)) for entry in epoch.accepted.parts if _has_failed(entry)]
    failed = [(entry, rows) for entry, rows in failed if len(rows)]
    # before they are pending again: what was answered then is what failed
    forget(epoch.store, pa.chunked_array([rows for _, rows in failed], pa.int64()).to_numpy())
    for entry, rows in failed:
        _rewrite(epoch, entry, rows)
    return sum(len(rows) for _, rows in failed)


def drop_retracted_rows(epoch: Epoch) -> int:
    """Take the records of rows that are planned no more out of the output; of how many rows there were some.

    A run that was cut short may have left them. Raises LeaseLost, and DamagedOutput.
    """
    retracted = epoch.accepted.index.retracted
    held = [(entry, np.intersect1d(entry.rows, retracted)) for entry in epoch.accepted.parts if len(retracted)]
    for entry, rows in held:
        if len(rows):
            _rewrite(epoch, entry, pa.array(rows))
    return sum(len(rows) for _, rows in held)


def _failed_of(epoch: Epoch, entry: Entry) -> pa.Array:
    rejected = (part for part in entry.files if part.folder == REJECTED)
    found = [_failed_rows(records) for part in rejected for records in counted_pieces(entry, epoch.read_part(part))]
    return pc.unique(pa.chunked_array(found, pa.int64()))


def _rewrite(epoch: Epoch, entry: Entry, unwanted: pa.Array) -> None:
    """Replace a part by one without the rows `unwanted`."""
    writer, outcome_counts = PartWriter(), OutcomeCounts()
    for folder, records in epoch.pieces(entry):
        kept = records.filter(pc.invert(pc.is_in(records["plan_row"], unwanted)))
        writer.add(folder, kept)
        outcome_counts.add(count_piece(folder, kept))
    left = np.setdiff1d(entry.rows, unwanted.to_numpy())
    # a row's records may lie in several pieces
    outcome_counts.rows = len(left)
    epoch.swap([entry], writer.finish(), left, outcome_counts)


def _failed_rows(rejected: pa.Table) -> pa.Array:
    failed = pc.and_(pc.equal(rejected["status"], FAILED), pc.not_equal(rejected["stage"], "read"))
    return rejected.filter(failed)["plan_row"].combine_chunks()


def _has_failed(entry: Entry) -> bool:
    return any(status == FAILED for _, _, status, _ in entry.outcome_counts.outcomes)
