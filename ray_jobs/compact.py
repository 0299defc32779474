"""Joining small parts into large ones when a run has nothing else to do, so that its files suit readers.

Blocks are small, for a kill costs what is in flight, and each block becomes a part. Here the holder of the lease joins
them: it encodes a part anew from many, writes its files, commits its entry, which replaces theirs, and only then
removes them. A kill between any two steps leaves what reconcile.py finishes or undoes: files without an entry, or
entries that another one replaces. Memory is one joined part and one row group, whatever the size of the output.

Parts with other columns, which another version of this project may have written, are not joined with each other: what
columns an output has is no decision to be taken at its end.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pyarrow as pa

from ray_jobs import manifest
from ray_jobs.errors import DamagedOutput, MissingFile
from ray_jobs.lease import Lease
from ray_jobs.manifest import READERS, Entry, Part
from ray_jobs.part_files import ROW_GROUP_BYTES, PartWriter, read_pieces
from ray_jobs.parts import checksum, commit_held
from ray_jobs.storage import Store
from ray_jobs.tally import Tally

READ_AHEAD_BYTES = 32 << 20


@dataclass(frozen=True)
class Sizes:
    """Bytes of the greater file of a part: below `least` it is small; a joined one is closed from `target` on.

    A joined part grows beyond `target` only by one small part, and by what would be left over as a small part alone:
    it has at most `target` and twice `least`, and a row group. `row_group` is the size in memory of one.
    """

    least: int = 64 << 20
    target: int = 128 << 20
    row_group: int = ROW_GROUP_BYTES


def small_parts(entries: Sequence[Entry], sizes: Sizes = Sizes()) -> list[Entry]:
    """The parts that are to be joined, those with the same columns together, by their first row.

    A part that no other small one has the columns of is left out.
    """
    small = [entry for entry in entries if entry.size < sizes.least]
    alike = Counter(entry.schema for entry in small)
    found = [entry for entry in small if alike[entry.schema] > 1]
    return sorted(found, key=lambda entry: (entry.schema, int(entry.rows[0]), entry.name))


def join_parts(
    store: Store, small: Sequence[Entry], lease: Lease, may_go_on: Callable[[], None], sizes: Sizes = Sizes()
) -> int:
    """Join `small` parts into as few as `sizes` and their columns allow, and return how many that are.

    `may_go_on` is called before each small part and ends the work by raising. Raises LeaseLost where another run has
    taken the output over, and DamagedOutput where a part's file is not what was written.
    """
    alike = [list(entries) for _, entries in groupby(small, lambda entry: entry.schema)]
    return sum(_join_alike(store, entries, lease, may_go_on, sizes) for entries in alike)


def _join_alike(store: Store, small: Sequence[Entry], lease: Lease, may_go_on: Callable[[], None], sizes: Sizes) -> int:
    left = sum(entry.size for entry in small)
    joined, taken, writer, members = 0, 0, PartWriter(sizes.row_group), list[Entry]()
    for entry, contents in _read_ahead(store, small, lease):
        may_go_on()
        for part, content in zip(entry.files, contents, strict=True):
            folder = part.path.split("/")[0]
            for records in read_pieces(pa.BufferReader(content)):
                writer.add(folder, records)
        members.append(entry)
        left, taken = left - entry.size, taken + entry.size
        rest = left * writer.size / taken
        if (writer.size >= sizes.target and rest >= sizes.least) or not left:
            # one alone would be replaced by itself
            if len(members) > 1:
                _replace(store, members, writer, lease)
            joined, taken, writer, members = joined + 1, 0, PartWriter(sizes.row_group), []
    return joined


def _replace(store: Store, members: Sequence[Entry], writer: PartWriter, lease: Lease) -> None:
    lease.check()
    rows = np.concatenate([member.rows for member in members])
    tally = Tally.total(member.tally for member in members)
    entry = writer.finish(store, rows, tally, tuple(member.name for member in members))
    # a driver that was suspended while it wrote finds its files removed as leftovers
    lease.check()
    # under our own lease: a late task of an earlier one, which holds rows of ours, is to take its part back
    commit_held(store, replace(entry, lease=lease.number, schema=members[0].schema), lease)
    manifest.forget(store, members)


def _read_ahead(store: Store, entries: Sequence[Entry], lease: Lease) -> Iterator[tuple[Entry, list[bytes]]]:
    """Each part with the bytes of its files, some megabytes of them read before they are asked for."""
    waiting = deque[tuple[Entry, list[Future[bytes]]]]()
    ahead = 0
    with ThreadPoolExecutor(READERS) as pool:
        for entry in entries:
            waiting.append((entry, [pool.submit(_read, store, part, lease) for part in entry.files]))
            ahead += entry.size
            while ahead > READ_AHEAD_BYTES:
                first, futures = waiting.popleft()
                ahead -= first.size
                yield first, [future.result() for future in futures]
        for entry, futures in waiting:
            yield entry, [future.result() for future in futures]


def _read(store: Store, part: Part, lease: Lease) -> bytes:
    try:
        data = store.read_bytes(part.path)
    except MissingFile:
        # the run that has taken over may have joined this part
        lease.check()
        raise
    if checksum(data) != part.checksum:
        raise DamagedOutput(
            f"{store.url_of(part.path)}: is not what was written, its checksum differs; "
            "remove the file, and `evolve run` makes its rows again"
        )
    return data
