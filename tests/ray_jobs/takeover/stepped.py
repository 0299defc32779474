"""Drivers whose every request to a store waits to be let through, and a store in memory for them to share."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Literal

from ray_jobs.errors import JobError, MissingFile, StoreAway
from ray_jobs.storage.store import Entry, Store


class Files(dict[str, bytes]):
    """Files by path. They are published by a copy, as in an object store, or, where it `renames`, as on a disk."""

    renames = False

    def copied(self) -> Files:
        """The same files, to go another way with."""
        files = type(self)(self)
        files.renames = self.renames
        return files


def in_a_store() -> Files:
    """No files, in an object store."""
    return Files()


def on_a_disk() -> Files:
    """No files, on a disk."""
    files = Files()
    files.renames = True
    return files


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the product catches it."""


class Driver(threading.Thread):
    """Runs `work` on a view of the files, one request at a time as `advance` lets it.

    `steps` counts the requests that were let through. `log` names them.
    """

    def __init__(self, name: str, files: Files, work: Callable[[Store], object]) -> None:
        super().__init__(name=name, daemon=True)
        self.store, self.steps, self.log = MemoryStore(files, self._request), 0, list[str]()
        self.ended = False
        self.error: BaseException | None = None
        self.changed: Callable[[], None] = lambda: None
        self._work = work
        self._go, self._arrived = threading.Semaphore(0), threading.Semaphore(0)
        self._waiting: Callable[[], Any] | None = None
        self._fault: StoreAway | None = None
        self._killed = False

    def begin(self) -> Driver:
        """Start, and come to the first request."""
        self.start()
        self._arrived.acquire()
        return self

    def advance(self, requests: int) -> Driver:
        """Let so many requests through, or all that come before the end."""
        for _ in range(requests):
            if self.ended:
                break
            self._go.release()
            self._arrived.acquire()
        return self

    def to_the_end(self) -> Driver:
        """Let everything through; what `work` raises that is no error for users is raised here."""
        while not self.ended:
            self.advance(1)
        if self.error and not isinstance(self.error, JobError | Killed):
            raise self.error
        return self

    def kill(self) -> Callable[[], Any]:
        """End the driver before its next request, and return that request, which may still arrive."""
        late = _arriving(self._waiting)
        if not self.ended:
            self._killed = True
            self.advance(1)
            self.join()
        return late

    def lose_answer(self) -> Callable[[], Any]:
        """Tell the driver that its next request got no answer, and return the request, which may still arrive."""
        late = _arriving(self._waiting)
        if not self.ended:
            self._fault = StoreAway("no answer")
            self.advance(1)
        return late

    def run(self) -> None:
        """Do the work; whatever it raises waits in `error`."""
        try:
            self._work(self.store)
        except BaseException as error:  # looked at by whoever let it run
            self.error = error
        self.ended, self._waiting = True, None
        self._arrived.release()

    def _request(self, name: str, apply: Callable[[], Any]) -> Any:
        # readers' threads of the driver only fetch what never changes
        if threading.current_thread() is not self:
            return apply()
        while True:
            if not self._killed:
                self._waiting = apply
                self._arrived.release()
                self._go.acquire()
            if self._killed:
                raise Killed
            fault, self._fault = self._fault, None
            if fault is None:
                self.steps += 1
                self.log.append(name)
                try:
                    return apply()
                finally:
                    if not name.startswith(("read", "list", "look up")):
                        self.changed()
            if name.startswith("put once"):
                raise fault
            # every other request is made again, as clients do


class MemoryStore(Store):
    """Files in a dictionary. Each request goes through `request`, which gets its name and what it does."""

    def __init__(self, files: Files, request: Callable[[str, Callable[[], Any]], Any] = lambda _, do: do()) -> None:
        super().__init__(None, "memory:", "", {}, 0.0)
        self.files, self._request = files, request

    def retrying(self, seconds: float) -> Store:
        """Itself."""
        return self

    def read_bytes(self, path: str) -> bytes:
        """A file's content."""
        return self._request(f"read {path}", lambda: self._get(path))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write, also again."""
        self._request(f"write {path}", lambda: self.files.__setitem__(path, data))

    def put_once(self, path: str, data: bytes) -> None:
        """Write with a request that nothing repeats."""
        self._request(f"put once {path}", lambda: self.files.__setitem__(path, data))

    def put_fresh(self, new_path: Callable[[], str], data: bytes) -> str:
        """As the real one, without its pauses."""
        for _ in range(3):
            path = new_path()
            try:
                self.put_once(path, data)
            except StoreAway:
                continue
            return path
        raise StoreAway("no answer")

    def create_exclusive(self, path: str, data: bytes) -> bool:
        """Write what is not there."""

        def create() -> bool:
            if self.files.get(path) not in (None, data):
                return False
            # one that meets its own file has created it
            self.files[path] = data
            return True

        return bool(self._request(f"create {path}", create))

    def publish(self, source: str, target: str) -> bool:
        """Copy or move what is there."""

        def publish() -> bool:
            if source not in self.files:
                return False
            self.files[target] = self.files.pop(source) if self.files.renames else self.files[source]
            return True

        return bool(self._request(f"publish {target}", publish))

    def kind(self, path: str) -> Literal["file", "folder"] | None:
        """What is there."""
        return self._request(f"look up {path}", lambda: "file" if path in self.files else None)

    def list(self, prefix: str = "") -> Sequence[tuple[str, int]]:
        """Every file below a folder."""
        below = f"{prefix}/" if prefix else ""
        return self._request(
            f"list {prefix}",
            lambda: sorted((path, len(data)) for path, data in self.files.items() if path.startswith(below)),
        )

    def abort_uploads(self, folder: str = "", min_age: float = 0.0) -> Sequence[str]:
        """There are none."""
        return []

    def entry(self, path: str) -> Entry:
        """A file's size."""
        return Entry(path, len(self._get(path)), "")

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files, one request each."""
        for path in paths:
            self._request(f"delete {path}", lambda path=path: self.files.pop(path, None))

    def open_input(self, path: str) -> BinaryIO:
        """A file to read."""
        return io.BytesIO(self.read_bytes(path))

    def _get(self, path: str) -> bytes:
        try:
            return self.files[path]
        except KeyError:
            raise MissingFile(f"memory:/{path}: there is no such file") from None


def _arriving(request: Callable[[], Any] | None) -> Callable[[], None]:
    """The request as the store sees it; nobody hears the answer, also not that a file to be read is gone."""

    def arrive() -> None:
        with suppress(MissingFile):
            if request:
                request()

    return arrive
