"""A driver's epoch on an output: what it may add, replace, publish and delete, so that no other run loses anything.

A driver may sleep between any two of its requests and wake after others have taken the output over, and its requests
may arrive late. So nothing here depends on a clock or on a heartbeat. What earlier epochs left is accepted once, in
this epoch's seal, and frozen by it; what is not accepted is deleted, staged files first. A file that plain readers see
is staged and then moved by a step that fails where its staged source is gone, as it is once a successor has cleaned.
docs/takeover.md has the protocol, its states and what is not promised.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ray_jobs.errors import DamagedOutput, MissingFile, StorageError
from ray_jobs.output import first_version, lease
from ray_jobs.output.accept import ADDED, PLANNED, SETTLED, SWAPPED, read, seal_path, sealed_epochs, void, with_entries
from ray_jobs.output.accepted import Accepted
from ray_jobs.output.checksums import checksum, to_checked
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.file_names import (
    DATA,
    ENTRIES,
    FIRST_ENTRIES,
    PLAN,
    REJECTED,
    STAGING,
    SUCCESS,
    Tag,
    data_path,
    entry_folder,
    epoch_of,
    new_name,
    staged_path,
)
from ray_jobs.output.lease import Lease
from ray_jobs.output.manifest import Entry, Part, Rows
from ray_jobs.output.part_files import counted_pieces, read_part
from ray_jobs.output.plan_index import INDEX, PlanIndex
from ray_jobs.storage.store import Store


def begin(
    store: Store, held: Lease, fresh: bool = False, ignored: Callable[[DamagedOutput | MissingFile], None] | None = None
) -> Epoch:
    """Begin the epoch of a lease that was just taken: accept what earlier epochs left, or nothing where `fresh`.

    Parts whose files are gone do not count any more, as far as that is seen here, and neither do damaged ones where
    there is an `ignored`, which is told of both.
    Raises LeaseLost where another run begins at the same time, DamagedOutput, StorageError.
    """
    try:
        _take_first_version_over(store, fresh)
        sealed = set(sealed_epochs(store))
        for epoch in range(1, held.number):
            # where another was faster, its seal may say something
            if epoch not in sealed and not store.create_exclusive(seal_path(epoch), to_checked(void())):
                sealed.add(epoch)
        earlier = [epoch for epoch in sealed if epoch < held.number]
        accepted = Accepted() if fresh else read(store, earlier, ignored or _ignore_missing)
    except MissingFile:
        # a later epoch has sealed and cleaned, or this store has lost a file of ours
        held.check()
        raise
    if not store.create_exclusive(seal_path(held.number), to_checked(accepted.to_json(held.tag))):
        raise held.lost()
    return Epoch(store, held, replace(accepted, tag=held.tag))


def _ignore_missing(error: DamagedOutput | MissingFile) -> None:
    """Let a part go whose file is gone: where a later run has taken it, this one's seal is void and cannot be made."""
    if isinstance(error, DamagedOutput):
        raise error


def check_store(store: Store, tag: Tag, say: Callable[[str], None]) -> None:
    """Try what epochs need of a store, and say what two runs at once may do to each other where it lacks that.

    Raises StorageError where nothing can be published.
    """
    found = store.probe(f"{STAGING}/{tag}")
    if not found.publish:
        raise StorageError(f"{store.url}: files cannot be published here: {found.reason}")
    if not found.conditional_create:
        say(f"{store.url}: {found.reason}; two runs at once on this output are not kept apart: take care yourself")


def start_over(store: Store) -> None:
    """Let nothing in an output count any more, and no run that is suspended add to it. Raises LeaseHeld, LeaseLost."""
    holder = lease.acquire(store)
    try:
        begin(store, holder.lease, fresh=True)
    finally:
        holder.release()


def _take_first_version_over(store: Store, fresh: bool) -> None:
    if fresh:
        # whatever is in its index, nothing of it is to count
        first_version.stop_drivers(store)
        store.write_bytes(INDEX, first_version.guard())
        return
    if not first_version.is_begun(store):
        if store.create_exclusive(INDEX, first_version.guard()):
            # it may have got no further than its lease
            first_version.stop_drivers(store)
        return
    first_version.stop_drivers(store)
    if 0 not in sealed_epochs(store):
        store.create_exclusive(seal_path(0), to_checked(first_version.sealed(store)))
    store.write_bytes(INDEX, first_version.guard())


def add_part(store: Store, held: Lease, entry: Entry) -> bool:
    """Make the files of a part count, staged under the lease `held`; False where its entry was there already."""
    path = f"{entry_folder(held.tag)}/{ADDED}{entry.name}.json"
    return store.create_exclusive(path, to_checked({"part": entry.to_json()}))


@dataclass(frozen=True)
class Repairs:
    """What was put right when an epoch began."""

    lost_parts: int = 0
    leftover_files: int = 0

    def __str__(self) -> str:
        return f"{self.leftover_files} leftover files removed, {self.lost_parts} parts without files dropped"


class Epoch:
    """What an epoch's driver does to its output. `accepted` is what counts, as of `begin` or the last `refresh`."""

    def __init__(self, store: Store, held: Lease, accepted: Accepted) -> None:
        self.store, self.lease, self.accepted = store, replace(held, store=store), accepted
        self._sealed, self._plan_entries, self._unmarked = accepted, 0, False

    def look(self) -> None:
        """Raise LeaseLost where the next epoch has begun."""
        self.lease.check()

    def refresh(self) -> Accepted:
        """Read again what counts, with the entries of this epoch. Raises LeaseLost and DamagedOutput."""
        try:
            self.accepted = with_entries(self.store, self._sealed)
        finally:
            # a later epoch, once sealed, removes these entries: what was listed is whole where there is none
            self.look()
        return self.accepted

    def read_part(self, part: Part) -> bytes:
        """A file of an accepted part, whole. Raises LeaseLost, MissingFile, and DamagedOutput where it has changed."""
        try:
            return read_part(self.store, part)
        except MissingFile:
            # a run that has taken over may have joined it
            self.look()
            raise

    def pieces(self, entry: Entry) -> Iterator[tuple[str, pa.Table]]:
        """The records of an accepted part that count, a piece at a time, by their folders. Raises as `read_part`."""
        for part in entry.files:
            for records in counted_pieces(entry, self.read_part(part)):
                yield part.folder, records

    # --- leftovers

    def clean(self) -> Repairs:
        """Remove what earlier epochs left and this one has not accepted, and drop parts whose files are gone.

        Staged files go first: whatever a suspended driver has not published by then it never will.
        """
        kept = {part.path for entry in self.accepted.parts for part in entry.files}
        kept |= {file.path for file in self.accepted.index.files}
        staged = self._list(STAGING)
        removed = self._remove(staged, kept)
        visible = self._list(DATA) + self._list(REJECTED)
        removed += self._remove(visible, kept)
        planned = self._list(PLAN)
        removed += self._remove(planned, kept)
        # sealed above: a late repeat of one changes nothing
        self._remove(self._list(ENTRIES) + self._list(FIRST_ENTRIES), set())
        # credentials that may not list uploads have made none that this program knows of
        with suppress(StorageError):
            self.store.abort_uploads()
        self._check_plan_files(set(planned))
        return Repairs(self._drop_lost({*staged, *visible}), removed)

    def _list(self, folder: str) -> list[str]:
        return [path for path, _ in self.store.list(folder)]

    def _remove(self, paths: Iterable[str], kept: set[str]) -> int:
        leftovers = [path for path in paths if path not in kept and self._is_earlier(path)]
        self.store.delete(leftovers)
        return len(leftovers)

    def _is_earlier(self, path: str) -> bool:
        epoch = epoch_of(path)
        return epoch is not None and epoch < self.lease.number

    def _check_plan_files(self, there: set[str]) -> None:
        for file in self.accepted.index.files:
            if file.path not in there:
                self.look()
                raise DamagedOutput(
                    f"{self.store.url_of(file.path)}: this file of the plan is gone, with rows {file.first:,} to "
                    f"{file.end - 1:,}; put it back, or see `evolve repair`"
                )

    def _drop_lost(self, there: set[str]) -> int:
        lost = [entry for entry in self.accepted.parts if any(part.path not in there for part in entry.files)]
        if lost:
            self.look()
            self.drop(lost)
            self.refresh()
        return len(lost)

    # --- entries

    def unmark(self) -> None:
        """Take the mark of a finished run away: from here on the output changes."""
        if not self._unmarked:
            self.look()
            self.store.delete([SUCCESS])
            self._unmarked = True

    def settle(self, settings: Mapping[str, Any]) -> None:
        """Note the settings under which rows are planned, unless they are noted."""
        if self.accepted.settings != settings:
            self._enter(SETTLED, {"settings": dict(settings)})
            self.accepted = replace(self.accepted, settings=dict(settings))

    def add_plan(self, index: PlanIndex, files: int) -> None:
        """Make the files of `index` from number `files` on count, and its counts of seeds."""
        self.unmark()
        self._plan_entries += 1
        self._enter(f"{PLANNED}{self._plan_entries:09d}", {"plan": index.to_json(files)})

    def drop(self, members: Sequence[Entry]) -> None:
        """Take parts out, so that their rows are to be done again, and remove what is left of their files."""
        self._swap(members, None)

    def swap(
        self,
        members: Sequence[Entry],
        files: Mapping[str, tuple[bytes, int]],
        rows: Rows,
        outcome_counts: OutcomeCounts,
    ) -> Entry | None:
        """Publish `files` (by folder: bytes and records) as one part that stands for `members`, and remove theirs.

        Without rows the members are dropped. Raises LeaseLost, before anything that is not ours is touched.
        """
        if not len(rows):
            self.drop(members)
            return None
        staged = {folder: self._stage(folder, data) for folder, (data, _) in files.items()}
        self.unmark()
        self.look()
        parts = []
        for folder, (data, records) in files.items():
            source, target = staged[folder]
            self._move(source, target, data)
            parts.append(Part(target, len(data), records, checksum(data)))
        entry = Entry.of(new_name(), parts, rows, outcome_counts, schema=members[0].schema)
        self._swap(members, entry, [source for source, _ in staged.values()])
        return entry

    def _swap(self, members: Sequence[Entry], part: Entry | None, staged: Sequence[str] = ()) -> None:
        self.unmark()
        name = part.name if part else new_name()
        content = {"replaces": [member.name for member in members], "part": part.to_json() if part else None}
        self._enter(f"{SWAPPED}{name}", content)
        # a successor may have read its predecessors' entries before this one came: then the members count for it
        self.look()
        self.store.delete([*(file.path for member in members for file in member.files), *staged])

    def _enter(self, name: str, content: Any) -> None:
        self.store.write_bytes(f"{entry_folder(self.lease.tag)}/{name}.json", to_checked(content))

    # --- what plain readers see

    def publish(self, path: str, data: bytes) -> None:
        """Write a file beside the records, such as the report. Raises LeaseLost."""
        source = self.store.put_fresh(lambda: staged_path(self.lease.tag, f"{new_name()}.file"), data)
        self.look()
        self._move(source, path, data)
        self.store.delete([source])

    def finish(self) -> None:
        """Mark the run as finished: every planned row is in the published files of `accepted`, and in no other."""
        files = {part.path: part.checksum for entry in self.accepted.parts for part in entry.files}
        listed = self._list(DATA) + self._list(REJECTED)
        # a copy that was under way inside the store when this epoch began may have landed since
        self._remove(listed, set(files))
        if missing := sorted(set(files) - set(listed)):
            self.look()
            raise DamagedOutput(f"{self.store.url_of(missing[0])}: has been published and is not there")
        self.publish(SUCCESS, json.dumps({"epoch": self.lease.number, "files": files}, indent=1).encode())

    def _stage(self, folder: str, data: bytes) -> tuple[str, str]:
        """Where a file was staged, and where it is to be published. A name is never used for a second try."""
        tag = self.lease.tag
        staged = self.store.put_fresh(lambda: staged_path(tag, f"{new_name()}.{folder}"), data)
        name = staged.rsplit("/", 1)[-1].removesuffix(f".{folder}")
        return staged, data_path(tag, folder, name)

    def _move(self, source: str, target: str, data: bytes) -> None:
        if self.store.publish(source, target):
            return
        # our own request may have been repeated on the way
        if not self._is_there(target, data):
            self.look()
            raise DamagedOutput(f"{self.store.url_of(source)}: was staged and is not there, and no other run began")

    def _is_there(self, target: str, data: bytes) -> bool:
        try:
            return self.store.read_bytes(target) == data
        except MissingFile:
            return False
