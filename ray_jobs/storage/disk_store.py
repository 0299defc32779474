"""A store on a disk of this machine, or on a network file system that is mounted."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, cast

from ray_jobs.errors import StorageError
from ray_jobs.storage.store import Store


class DiskStore(Store):
    """The files below a folder."""

    @property
    def folder(self) -> Path | None:
        """The root."""
        return Path(self._root or "/")

    def first_names(self, count: int) -> Sequence[str]:
        """The names that the disk gives first."""
        return self._retry("list", "", lambda: _first_children(Path(self._root or "/"), count))

    def remove_folder(self, path: str) -> None:
        """Remove a folder that holds nothing; no harm is done to any other, nor by one that is gone."""
        # it may not be there, or hold something since
        with suppress(OSError):
            Path(self._path(path)).rmdir()

    def _children(self, folder: str) -> Sequence[dict[str, Any]]:
        infos = super()._children(folder)
        return [self._target(info) if info["islink"] else info for info in infos]

    def _target(self, link: dict[str, Any]) -> dict[str, Any]:
        """What a symbolic link to a file points to; a link to a folder stays one, for it may lead in a circle."""
        with suppress(FileNotFoundError):
            target = cast(dict[str, Any], self._fs.info(link["name"]))
            return link if target["type"] == "directory" else target
        return link

    def _write(self, path: str, data: bytes) -> None:
        with _written_beside(Path(path), data) as written:
            written.replace(path)

    def _create(self, path: str, data: bytes, token: str) -> bool:  # noqa: ARG002
        with _written_beside(Path(path), data) as written:
            try:
                os.link(written, path)
            except FileExistsError:
                return False
        return True

    def _publish(self, source: str, target: str) -> bool:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        try:
            Path(source).rename(target)
        except FileNotFoundError:
            if os.path.lexists(source):  # the target's folder went in between
                raise
            return False
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise StorageError(
                f"{source}: cannot publish as {target}: they are on two file systems, expected one, "
                "for a rename is one step and a copy is not"
            ) from error
        return True


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """A finished file on disk next to `path`, under a name that readers of data skip; removed in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with written.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield written
    finally:
        written.unlink(missing_ok=True)


def _first_children(folder: Path, count: int) -> Sequence[str]:
    try:
        with os.scandir(folder) as children:
            return sorted(child.name for child in islice(children, count))
    except FileNotFoundError:
        return ()
