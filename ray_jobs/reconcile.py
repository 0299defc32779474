"""Bringing an output's files in line with its manifest, at the start and at the end of a run.

Kills, retries and runs that overlapped for a moment leave entries without files, rows in two parts, files without
entries. Each has one remedy, and none can lose a committed row: an entry whose file is gone is forgotten, and its rows
run again; a part that holds a row which another part holds too is rewritten without it; a file that no entry names is
removed. Only the holder of the lease may do this, while none of its own tasks writes. Files are listed first, then the
lease is looked at, and only what was there by then is ever removed: a driver that is suspended here and goes on when
another run has taken over cannot touch that run's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs import manifest
from ray_jobs.errors import DamagedOutput
from ray_jobs.lease import Lease
from ray_jobs.manifest import Entry, Manifest, Part, Rows
from ray_jobs.part_files import PartWriter, pieces, tally_piece
from ray_jobs.parts import DATA, REJECTED
from ray_jobs.storage import Store
from ray_jobs.tally import Tally


@dataclass(frozen=True)
class Repairs:
    """What `reconcile` found and mended."""

    broken_parts: int = 0
    doubled_rows: int = 0
    leftover_files: int = 0

    def __str__(self) -> str:
        return (
            f"{self.leftover_files} leftover files removed, {self.doubled_rows} doubled rows dropped, "
            f"{self.broken_parts} parts without files forgotten"
        )


def reconcile(store: Store, total: int, lease: Lease) -> tuple[Manifest, Repairs]:
    """Mend the output and return its manifest. `total` is the number of planned rows.

    Raises, before anything is changed, LeaseLost, and DamagedOutput where the manifest holds rows that are not planned.
    """
    files = {path for folder in (DATA, REJECTED) for path, _ in store.list(folder)}
    found = manifest.load(store)
    _check_rows(store, found, total)
    lease.check()
    every = [*found.entries, *found.replaced]
    # first of all, for an entry whose files are gone, as those of a driver that wakes up too late, replaces nothing
    broken = {entry.name for entry in every if not all(_is_there(store, part, files) for part in entry.files)}
    manifest.forget(store, [entry for entry in every if entry.name in broken])
    whole = manifest.without_replaced([entry for entry in every if entry.name not in broken])
    manifest.forget(store, whole.replaced)
    entries, doubled = _undouble(store, whole.entries, total)
    named = {part.path for entry in (*every, *entries) for part in entry.files}
    leftovers = sorted(files - named)
    store.delete(leftovers)
    lost = sum(entry.name in broken for entry in found.entries)
    return Manifest(entries), Repairs(lost, doubled, len(leftovers))


def _is_there(store: Store, part: Part, listed: Set[str]) -> bool:
    # a part that was committed after the listing is looked up by name
    return part.path in listed or store.exists(part.path)


def _check_rows(store: Store, found: Manifest, total: int) -> None:
    for entry in (*found.entries, *found.replaced):
        rows = entry.rows
        if len(rows) and not 0 <= rows[0] <= rows[-1] < total:
            raise DamagedOutput(
                f"{store.url_of(entry.path)}: holds row {rows[-1]}, the plan has {total:,} rows; "
                "plan/ is not the plan that this manifest was made with"
            )


def rewrite(store: Store, entry: Entry, keep: Callable[[pa.Table], pa.Array]) -> Entry | None:
    """Replace a part by one with the rows that `keep` selects, and return the new entry; None where nothing is left.

    `keep` maps a table of records to a boolean mask that is the same for all records of a row. Where it selects all
    of them nothing is written and `entry` is returned.
    """
    writer, tally, rows, dropped = PartWriter(), Tally(), list[Rows](), 0
    for folder, records in pieces(store, entry):
        kept = records.filter(keep(records))
        writer.add(folder, kept)
        tally.add(tally_piece(folder, kept))
        rows.append(np.unique(kept["plan_row"].to_numpy()))
        dropped += records.num_rows - kept.num_rows
    if not dropped:
        return entry
    left = np.unique(np.concatenate(rows))
    # a row's records may lie in several pieces
    tally.rows = len(left)
    if len(left):
        new = writer.finish(store, left, tally, (entry.name,))
        new = replace(new, lease=entry.lease, schema=entry.schema)
        manifest.commit(store, new)
    manifest.forget(store, [entry])
    return new if len(left) else None


def _undouble(store: Store, entries: Sequence[Entry], total: int) -> tuple[list[Entry], int]:
    """Leave every row to the latest lease's entry that holds it, and of one lease's to the first by name."""
    seen = np.zeros(total, dtype=np.bool_)
    result, doubled = list[Entry](), 0
    for entry in sorted(entries, key=lambda one: (-one.lease, one.name)):
        rows = entry.rows
        again = rows[seen[rows]]
        seen[rows] = True
        doubled += len(again)
        if len(again) == len(rows):
            # nothing of it is needed, and the late task that wrote it may be taking it back
            manifest.forget(store, [entry])
        elif len(again):
            mended = rewrite(store, entry, _without(again))
            result += [mended] if mended else []
        else:
            result.append(entry)
    return result, doubled


def _without(rows: npt.NDArray[np.int64]) -> Callable[[pa.Table], pa.Array]:
    unwanted = pa.array(rows)
    return lambda table: pc.invert(pc.is_in(table["plan_row"], unwanted))
