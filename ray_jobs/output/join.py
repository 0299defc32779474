"""Joining parts into files that suit readers, and so publishing them: plain readers see joined files alone.

Blocks are small, for a kill costs what is in flight, and each block becomes a staged part. Here the driver encodes one
file from many, publishes it with an entry that replaces theirs, and only then removes them (epochs.py). A kill between
any two steps leaves what the next epoch finishes or undoes. Memory is one joined part and one row group, whatever the
size of the output.

Parts with other columns, which another version of this project may have written, are not joined with each other: what
columns an output has is no decision to be taken at its end.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.epochs import Epoch
from ray_jobs.output.file_names import STAGING
from ray_jobs.output.manifest import Entry
from ray_jobs.output.part_files import ROW_GROUP_BYTES, PartWriter, counted_pieces

READERS = 16
READ_AHEAD_BYTES = 32 << 20


@dataclass(frozen=True)
class Sizes:
    """Bytes of the greater file of a part: below `minimum` it is small; a joined one is closed from `target` on.

    A joined part grows beyond `target` only by one small part, and by what would be left over as a small part alone:
    it has at most `target` and twice `minimum`, and a row group. `row_group` is the size in memory of one.
    """

    minimum: int = 64 << 20
    target: int = 128 << 20
    row_group: int = ROW_GROUP_BYTES


def small_parts(entries: Sequence[Entry], sizes: Sizes = Sizes()) -> list[Entry]:
    """The parts that are to be joined, those with the same columns together, by their first row.

    These are the staged ones, and the small ones that there is another with the same columns to join with.
    """
    wanted = [entry for entry in entries if entry.size < sizes.minimum or _is_staged(entry)]
    alike = Counter(entry.schema for entry in wanted)
    found = [entry for entry in wanted if alike[entry.schema] > 1 or _is_staged(entry)]
    return sorted(found, key=lambda entry: (entry.schema, int(entry.rows[0]), entry.name))


def join_parts(epoch: Epoch, small: Sequence[Entry], may_go_on: Callable[[], None], sizes: Sizes = Sizes()) -> int:
    """Join `small` parts into as few as `sizes` and their columns allow, and return how many that are.

    `may_go_on` is called before each small part and ends the work by raising. Raises LeaseLost where another run has
    taken the output over, and DamagedOutput where a part's file is not what was written.
    """
    alike = [list(entries) for _, entries in groupby(small, lambda entry: entry.schema)]
    return sum(_join_alike(epoch, entries, may_go_on, sizes) for entries in alike)


def _is_staged(entry: Entry) -> bool:
    return any(part.path.startswith(f"{STAGING}/") for part in entry.files)


def _join_alike(epoch: Epoch, small: Sequence[Entry], may_go_on: Callable[[], None], sizes: Sizes) -> int:
    left = sum(entry.size for entry in small)
    joined, taken, writer, members = 0, 0, PartWriter(sizes.row_group), list[Entry]()
    for entry, contents in _read_ahead(epoch, small):
        may_go_on()
        for part, content in zip(entry.files, contents, strict=True):
            for records in counted_pieces(entry, content):
                writer.add(part.folder, records)
        members.append(entry)
        left, taken = left - entry.size, taken + entry.size
        rest = left * writer.size / taken
        if (writer.size >= sizes.target and rest >= sizes.minimum) or not left:
            # one published part alone would be replaced by itself
            if len(members) > 1 or _is_staged(members[0]):
                _replace(epoch, members, writer)
            joined, taken, writer, members = joined + 1, 0, PartWriter(sizes.row_group), []
    return joined


def _replace(epoch: Epoch, members: Sequence[Entry], writer: PartWriter) -> None:
    rows = np.concatenate([member.rows for member in members])
    epoch.swap(members, writer.finish(), rows, OutcomeCounts.total(member.outcome_counts for member in members))


def _read_ahead(epoch: Epoch, entries: Sequence[Entry]) -> Iterator[tuple[Entry, list[bytes]]]:
    """Each part with the bytes of its files, some megabytes of them read before they are asked for."""
    waiting = deque[tuple[Entry, list[Future[bytes]]]]()
    ahead = 0
    with ThreadPoolExecutor(READERS) as pool:
        for entry in entries:
            waiting.append((entry, [pool.submit(epoch.read_part, part) for part in entry.files]))
            ahead += entry.size
            while ahead > READ_AHEAD_BYTES:
                first, futures = waiting.popleft()
                ahead -= first.size
                yield first, [future.result() for future in futures]
        for entry, futures in waiting:
            yield entry, [future.result() for future in futures]
