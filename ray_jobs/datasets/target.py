"""The folder that a selection or an export is written to: empty at first, one writer at a time, its account last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ray_jobs.errors import LeaseHeld, OutputError
from ray_jobs.output import lease, ownership
from ray_jobs.output.file_names import when_written
from ray_jobs.output.ownership import MARK, Kind
from ray_jobs.storage.store import Store


@dataclass(frozen=True)
class Contents:
    """What a writer of this kind makes: its `account`, and before that the files and folders `parts`.

    `signs` are texts that stand in our files of names that others use too, and in nobody else's.
    """

    kind: Kind
    parts: Sequence[str]
    account: str
    signs: Mapping[str, str] = field(default_factory=dict)


def check_target(target: Store, contents: Contents, sources: Sequence[Store] = ()) -> None:
    """Refuse a folder that is not new or empty, but for what a writer of these contents has left unfinished.

    Such a one carries our mark, and no account. Raises OutputError where anything else is in the folder, or it lies in
    or around one of the `sources`, which are read; LeaseHeld where a process that lives is writing there.
    """
    for source in sources:
        ownership.refuse_overlap(target, source)
    if ownership.check_place(target, contents.kind):
        holder = lease.current(target)
        if holder and holder.alive:
            raise LeaseHeld(f"{target.url}: {holder} is writing there")
        _leftovers(target, contents)


@contextmanager
def new_dataset(target: Store, contents: Contents, sources: Sequence[Store] = ()) -> Iterator[None]:
    """Within the context the folder is this process's alone, and emptied of what a writer that was killed has left.

    Where it fails, what was written is removed again, mark and all, as far as the store allows; the rest is known by
    the mark. Raises as `check_target` does.
    """
    check_target(target, contents, sources)
    ownership.claim(target, contents.kind)
    holder = lease.acquire(target)
    try:
        target.delete(_leftovers(target, contents))
        yield
    finally:
        try:
            # before the lease is given back, for which a full disk has no room
            _clear_unfinished(target, contents)
        finally:
            holder.release()
        target.delete([path for path, _ in target.list(lease.FOLDER)])
        target.remove_folder(lease.FOLDER)


def write_new(target: Store, path: str, data: bytes) -> None:
    """Write a file that is not there yet. Raises OutputError where it is: somebody has put it there meanwhile."""
    if not target.create_exclusive(path, data):
        raise OutputError(f"{target.url_of(path)}: has come there meanwhile, and is not replaced; move it away")


def _leftovers(target: Store, contents: Contents) -> list[str]:
    """What an unfinished writer has left. Raises OutputError where the folder is finished, or holds anything else."""
    found = [path for path, _ in target.list() if not _is_held(path)]
    if contents.account in found:
        raise OutputError(
            f"{target.url}: expected an empty or a new folder, this one is finished ({contents.account} is there)"
        )
    if strangers := [path for path in found if not _is_leftover(target, path, contents)]:
        raise OutputError(
            f"{target.url}: expected an empty or a new folder, found {ownership.named(strangers)}, which this program "
            "has not written; move it away"
        )
    return found


def _clear_unfinished(target: Store, contents: Contents) -> None:
    """Remove what was written, and the mark with it, unless the account is there or anybody has added to it."""
    found = [path for path, _ in target.list() if not _is_held(path)]
    if contents.account not in found:
        ours = [path for path in found if _is_leftover(target, path, contents)]
        target.delete(ours)
        for folder in contents.parts:
            target.remove_folder(folder)
        if ours == found:
            target.delete([MARK])


def _is_held(path: str) -> bool:
    return path == MARK or path.startswith(f"{lease.FOLDER}/")


def _is_leftover(target: Store, path: str, contents: Contents) -> bool:
    if not ownership.is_ours(path, contents.kind):
        return False
    sign = contents.signs.get(path)
    if sign is not None:
        return sign.encode() in target.read_bytes(path)
    return when_written(path).split("/")[0] in (*contents.parts, contents.account)
