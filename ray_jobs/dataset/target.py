"""The folder that a selection or an export is written to: empty at first, one writer at a time, its account last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ray_jobs import lease
from ray_jobs.errors import OutputError
from ray_jobs.storage import Store


@dataclass(frozen=True)
class Contents:
    """What a writer makes: its `account`, and before that the files and folders `parts`."""

    parts: Sequence[str]
    account: str


def check_target(target: Store, contents: Contents) -> None:
    """Refuse a folder that holds anything but what a writer of these contents has left unfinished.

    It is known by the lease, which stands beside the parts for as long as the account is missing. Raises OutputError.
    """
    found = [name for name in target.names() if name != lease.FOLDER]
    if found and not (lease.current(target) and set(found) <= set(contents.parts)):
        raise OutputError(f"{target.url}: expected an empty or a new folder, found {', '.join(found[:3])}")


@contextmanager
def new_dataset(target: Store, contents: Contents) -> Iterator[None]:
    """Within the context the folder is this process's alone, and emptied of what a writer that was killed has left.

    Raises as `check_target` does, and LeaseHeld where a process that lives is writing there.
    """
    check_target(target, contents)
    holder = lease.acquire(target)
    try:
        target.delete(_parts(target, contents))
        yield
    finally:
        holder.release()
        if target.exists(contents.account) or not _parts(target, contents):
            target.delete([path for path, _ in target.list(lease.FOLDER)])
            target.remove_folder(lease.FOLDER)


def _parts(target: Store, contents: Contents) -> list[str]:
    return [path for path, _ in target.list() if path.split("/")[0] in contents.parts]
