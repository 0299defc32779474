"""Finds files in folders of this machine: what a path, a folder or a glob means there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from ray_jobs.storage.errors import explained

HIDDEN, CIRCLE, NO_FILE = "hidden", "folder_read_already", "not_a_file"
ANYWHERE = "**"
_WILD = frozenset("*?[")


class Walked(NamedTuple):
    """Files by their path below a folder, and what was passed over as (reason, path)."""

    files: list[str]
    skipped: list[tuple[str, str]]


def local_path(path: str) -> str | None:
    """The absolute path of a file or folder of this machine; None for any other URL."""
    path = path.removeprefix("file://")
    # not Path.resolve, which follows links: a file keeps the name under which it was given; nor Path.expanduser, to
    # which a name like ~nobody is an error
    return None if "://" in path else os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111


def split_local(path: str) -> tuple[str, tuple[str, ...]]:
    """An absolute path as what of it has no wildcard or exists as it stands, and the pattern below that.

    Raises StorageError where that cannot be looked up.
    """
    base, *parts = Path(path).parts
    for index, part in enumerate(parts):
        inner = Path(base, part)
        with explained("look up", str(inner)):
            if _WILD & set(part) and not (inner.exists() or inner.is_symlink()):
                return base, tuple(parts[index:])
        base = str(inner)
    return base, ()


def is_hidden(path: str, pattern: Sequence[str] = ()) -> bool:
    """Whether a name in `path` begins with "." or "_" where no part of the pattern does."""
    asked = {part[:1] for part in pattern}
    return any(part[:1] in (".", "_") and part[:1] not in asked for part in path.split("/") if part)


def walk(root: str, pattern: Sequence[str] = (ANYWHERE,)) -> Walked:
    """The files below `root` that match, through links too; a folder is read once, and none that holds the root.

    Real folders come before links, so that what is in one keeps its own name. Raises StorageError.
    """
    walked, seen = Walked([], []), set[tuple[int, int]]()
    folders, links = [""], deque[str]()
    while folders or links:
        linked = not folders
        below = links.popleft() if linked else folders.pop()
        folder = Path(root, below)
        with explained("list", str(folder)):
            status = folder.stat()
            again = (status.st_dev, status.st_ino) in seen or (linked and _holds(folder, root))
            seen.add((status.st_dev, status.st_ino))
            if again:
                walked.skipped.append((CIRCLE, below))
                continue
            for entry in sorted(folder.iterdir()):
                path = f"{below}/{entry.name}" if below else entry.name
                if not entry.is_dir():
                    _file(entry, path, pattern, walked)
                elif is_hidden(entry.name, pattern):
                    walked.skipped.append((HIDDEN, path))
                elif _may_hold(path.split("/"), pattern):
                    (links if entry.is_symlink() else folders).append(path)
    walked.files.sort()
    return walked


def _file(entry: Path, path: str, pattern: Sequence[str], walked: Walked) -> None:
    if not _matches(path.split("/"), pattern):
        return
    if is_hidden(entry.name, pattern):
        walked.skipped.append((HIDDEN, path))
    elif entry.is_file():
        walked.files.append(path)
    else:  # a link to nothing, a pipe
        walked.skipped.append((NO_FILE, path))


def _holds(link: Path, root: str) -> bool:
    """Whether a linked folder holds the root of the walk, or the folder that the link is in."""
    target = link.resolve()
    return any(inner.resolve().is_relative_to(target) for inner in (Path(root), link.parent))


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == ANYWHERE:
        return any(_matches(parts[at:], pattern[1:]) for at in range(len(parts) + 1)) or pattern == (ANYWHERE,)
    return bool(parts) and _same(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _may_hold(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether something below the folder can match."""
    for part, wanted in zip(parts, pattern, strict=False):
        if wanted == ANYWHERE:
            return True
        if not _same(part, wanted):
            return False
    return len(parts) < len(pattern)


def _same(name: str, wanted: str) -> bool:
    return fnmatchcase(name, wanted.replace("[^", "[!"))
