"""Files on local disk or in an object store behind one small interface; the only module that imports fsspec.

The rest of the service names files by their path below a store's root and never learns what that root is.
"""

from __future__ import annotations

import io
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import fsspec
import fsspec.utils
from fsspec.implementations.local import LocalFileSystem

from evolve.masking import mask_url
from ray_jobs.errors import MissingFile, StorageError
from ray_jobs.storage import s3
from ray_jobs.storage.capabilities import Capabilities, probe
from ray_jobs.storage.errors import explained
from ray_jobs.storage.retries import CLOCK, Clock, ExplainedReader, Result, retry
from ray_jobs.storage.urls import is_wrapped, joined, split_glob

_READ_AHEAD = 8 << 20  # bytes fetched at once; s3fs would fetch 50 MiB for a look at a file's first line
UPLOAD_AGE = 24 * 3600.0
"""Seconds after which a multi-part upload is taken for one of a dead writer."""
_VERSION_KEYS = ("ETag", "etag", "md5Hash", "checksum", "mtime", "LastModified", "last_modified", "created")


class Entry(NamedTuple):
    """A file: its path below the store's root, its size in bytes, and what changes when its content does."""

    path: str
    size: int
    version: str


def open_store(
    url: str, options: Mapping[str, Any] | None = None, retry_seconds: float = 0.0, clock: Clock = CLOCK
) -> Store:
    """The store whose root is `url`: a folder by its plain path, or any URL that fsspec knows.

    `options` go to the fsspec file system as they are (`endpoint_url`, `key`, `secret`, …). The store waits
    `retry_seconds` seconds of `clock` in each operation for a server that is away. On S3, timeouts are those of
    botocore, under `config_kwargs`, and so are the retries of a store without patience; one with patience makes all
    tries itself, as the server asks. Opens no connection. Raises StorageError where no client for the URL is installed
    or it does not take the options.
    """
    if "\0" in url:
        raise StorageError(f"{url!r}: expected a path or a URL, which holds no NUL")
    options = dict(options or {})
    protocol = fsspec.utils.get_protocol(url)
    is_s3 = protocol in ("s3", "s3a")
    with explained("open", url):
        settings = {"use_listings_cache": False, "skip_instance_cache": True}
        settings |= s3.client_options(options, retry_seconds) if is_s3 else options
        fs, root = _file_system(url, settings)
        if is_s3:
            s3.share_data(fs)
    # imported here, for they build on Store
    if is_s3:
        from ray_jobs.storage.s3_store import S3Store

        if not root:
            raise StorageError(f"{mask_url(url)}: the URL names no bucket, expected s3://BUCKET/PATH")
        fs.retries = (
            1 if retry_seconds else 2
        )  # of streamed bodies, which botocore does not retry; multiplies its retries
        return S3Store(fs, url, root, options, retry_seconds, clock)
    if isinstance(fs, LocalFileSystem):
        from ray_jobs.storage.disk_store import DiskStore

        # absolute, for a worker that the store travels to has another working directory
        return DiskStore(fs, root, root, options, retry_seconds, clock)
    return Store(fs, url, root, options, retry_seconds, clock)


class Store:
    """The files below one root. Safe to use from threads; pickles to its URL and options.

    Paths are relative to the root and use "/". Every failure is a StorageError that names the URL, the
    operation and the cause; a missing file is a MissingFile. Nothing is cached. `url` and `url_of` are for people:
    secrets in them are masked.
    """

    def __init__(
        self,
        fs: Any,
        url: str,
        root: str,
        options: Mapping[str, Any],
        retry_seconds: float,
        clock: Clock = CLOCK,
    ) -> None:
        self._url = url.rstrip("/") or "/"
        self.url = mask_url(self._url)
        self._fs, self._root, self._options, self._retry_seconds = fs, root.rstrip("/"), options, retry_seconds
        self._clock = clock

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self._url, dict(self._options), self._retry_seconds, self._clock)

    def retrying(self, seconds: float) -> Store:
        """The same store, which waits up to `seconds` in each operation for a server that is away."""
        return open_store(self._url, self._options, seconds, self._clock)

    def below(self, folder: str) -> Store:
        """The store whose root is `folder` in this one."""
        return open_store(joined(self._url, folder), self._options, self._retry_seconds, self._clock)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"  # without the options, which may hold credentials

    def url_of(self, path: str) -> str:
        """The full URL of a file, for messages and for other programs."""
        return joined(self.url, path)

    def read_bytes(self, path: str) -> bytes:
        """The whole content of a file."""
        return cast(bytes, self._retry("read", path, lambda: self._fs.cat_file(self._path(path))))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file, replacing what was there. Readers see the old content or the new, never a part.

        A writer that is killed may leave `.NAME.*.tmp` beside it on a local disk, which listings show.
        """
        self._retry("write", path, lambda: self._write(self._path(path), data))

    def create_exclusive(self, path: str, data: bytes) -> bool:
        """Write a file unless it exists; True where this call created it, False where it was there.

        Of any number of concurrent callers exactly one is told True, on local disk and on S3 stores that
        honour conditional writes (`If-None-Match: *`). Other stores promise as much as fsspec's mode "create"
        does, and always for the threads of one process.
        """
        token = uuid.uuid4().hex
        return self._retry("create", path, lambda: self._create(self._path(path), data, token))

    def put_once(self, path: str, data: bytes) -> None:
        """Write a file with one request that nothing repeats, replacing what was there.

        For files that are published: whoever repeats a request may put a file back that another has removed. Where
        this raises StoreAway, the request may still arrive, at any later time; the name is then never used again.
        On S3 one PutObject without retries of any client (a request that the store refused with a redirect is sent on),
        up to 5 GB; on disk as `write_bytes`. What the clients of other stores repeat by themselves is not known.
        """
        with explained("write", self.url_of(path)):
            self._put_once(self._path(path), data)

    def publish(self, source: str, target: str) -> bool:
        """Give the file `source` the name `target` too, in one step that only succeeds while `source` exists.

        False where it does not; a file at `target` is replaced. On disk a rename, so `source` is gone afterwards; on S3
        one CopyObject, which leaves it. The step may be repeated while the store is away: a repetition that finds no
        source returns False though the first may have been done, so compare `target` then.
        """
        return self._retry(
            f"publish as {target}", source, lambda: self._publish(self._path(source), self._path(target))
        )

    def probe(self, folder: str) -> Capabilities:
        """What this store really does, tried with files of new names in `folder`, which are removed afterwards.

        On disk the folder stays. Raises StorageError where it cannot be written to at all.
        """
        return probe(self, folder)

    def put_fresh(self, new_path: Callable[[], str], data: bytes) -> str:
        """Write a file with `put_once` and return its path, which `new_path` makes anew for each try.

        Of a try whose answer was lost the file may come to lie there at any later time, and then nobody needs it.
        """

        def put() -> str:
            path = new_path()
            self.put_once(path, data)
            return path

        return self._retry("write", "", put)

    def exists(self, path: str) -> bool:
        """Whether there is a file (not a folder) at `path`."""
        return self.kind(path) == "file"

    def kind(self, path: str) -> Literal["file", "folder"] | None:
        """What is at `path`, None for nothing. In an object store a folder is the prefix of some key."""
        try:
            return "folder" if self._info(path)["type"] == "directory" else "file"
        except MissingFile:
            return None

    def size(self, path: str) -> int:
        """The size of a file in bytes."""
        return self.entry(path).size

    def entry(self, path: str) -> Entry:
        """The size and version of one file."""
        info = self._info(path)
        if info["type"] == "directory":
            raise MissingFile(f"{self.url_of(path)}: expected a file, this is a folder")
        return self._entry(path, info)

    def list(self, prefix: str = "") -> Sequence[tuple[str, int]]:
        """Path and size in bytes of every file below the folder `prefix`, at any depth, sorted by path.

        Empty where there is no such folder.
        """
        return [(entry.path, entry.size) for entry in self._entries(prefix)]

    def names(self) -> Sequence[str]:
        """The names of the files and folders directly below the root, sorted."""
        children = self._retry("list", "", lambda: self._children(self._root))
        return sorted(info["name"].removeprefix(self._root).strip("/") or "/" for info in children)

    def first_names(self, count: int) -> Sequence[str]:
        """As `names`, but only `count` of them, whichever are cheapest to find where there are more."""
        return self.names()[:count]

    @property
    def folder(self) -> Path | None:
        """Where the store lies on a disk of this machine, absolute; None where it does not."""
        return None

    def glob(self, pattern: str) -> Sequence[Entry]:
        """The files whose path matches `pattern`, sorted by path; "**" crosses folders, "*" does not."""
        folder, below = split_glob(pattern)
        if not below:
            return [self.entry(pattern)] if self.exists(pattern) else []
        depth = None if "**" in below else below.count("/") + 1
        matches = re.compile(fsspec.utils.glob_translate(pattern)).match
        found = self._entries("" if folder == "." else folder, depth)
        # the first names of a key may be empty
        return [entry for entry in found if matches(entry.path.lstrip("/"))]

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files. Those that are already gone do no harm."""
        for path in paths:
            with suppress(MissingFile):
                self._retry("delete", path, partial(self._fs.rm_file, self._path(path)))

    def remove_folder(self, path: str) -> None:
        """Remove a folder that holds nothing, where folders exist by themselves."""

    def abort_uploads(self, folder: str = "", min_age: float = UPLOAD_AGE) -> Sequence[str]:  # noqa: ARG002
        """Give up multi-part uploads below `folder` that began `min_age` seconds ago or earlier; their paths.

        They are what writers that died leave in a bucket: unseen in listings, and paid for. Ages are by the store's
        clock. Other stores than S3 have none. Raises StorageError, also where uploads may not be listed.
        """
        return []

    def open_input(self, path: str) -> BinaryIO:
        """Open a file for reading, seekable, as pyarrow wants it. Its reads raise StorageErrors too."""
        raw = self._retry("read", path, lambda: self._fs.open(self._path(path), "rb", block_size=_READ_AHEAD))
        reader = ExplainedReader(raw, self.url_of(path), self._retry_seconds, self._clock)
        return cast(BinaryIO, io.BufferedReader(reader, 1 << 20))

    def _retry(self, operation: str, path: str, call: Callable[[], Result]) -> Result:
        return retry(call, operation, self.url_of(path), self._retry_seconds, self._clock)

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _info(self, path: str) -> dict[str, Any]:
        return cast(dict[str, Any], self._retry("look up", path, lambda: self._fs.info(self._path(path))))

    def _entries(self, prefix: str, depth: int | None = None) -> Sequence[Entry]:
        found = self._retry("list", prefix, lambda: self._find(self._path(prefix), depth))
        files = {name: info for name, info in found.items() if info.get("type") == "file"}
        entries = (self._entry(name.removeprefix(self._root).removeprefix("/"), info) for name, info in files.items())
        return sorted(entry for entry in entries if entry.path != prefix)

    def _entry(self, path: str, info: Mapping[str, Any]) -> Entry:
        if info["size"] is None:
            raise StorageError(f"{self.url_of(path)}: the server does not say how large the file is; copy it first")
        version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key)), "")
        return Entry(path, int(info["size"]), version)

    def _find(self, path: str, depth: int | None) -> dict[str, Any]:
        # not fs.find, which leaves out the folders that it may not read: a listing with holes loses data silently
        found, folders = {}, [(path, 1)]
        while folders:
            folder, level = folders.pop()
            for info in self._children(folder):
                if info["type"] != "directory":
                    found[info["name"]] = info
                elif depth is None or level < depth:
                    folders.append((info["name"], level + 1))
        return found

    def _children(self, folder: str) -> Sequence[dict[str, Any]]:
        try:
            return cast(Sequence[dict[str, Any]], self._fs.ls(folder, detail=True))
        except FileNotFoundError:
            return ()

    def _write(self, path: str, data: bytes) -> None:
        self._fs.pipe_file(path, data)

    def _put_once(self, path: str, data: bytes) -> None:
        self._write(path, data)

    def _publish(self, source: str, target: str) -> bool:
        try:
            self._fs.cp_file(source, target)
        except FileNotFoundError:
            return False
        return True

    def _create(self, path: str, data: bytes, token: str) -> bool:  # noqa: ARG002
        with _CREATE_LOCK:
            try:
                self._fs.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
        return True


_CREATE_LOCK = threading.Lock()


def _file_system(url: str, settings: Mapping[str, Any]) -> tuple[Any, str]:
    """The fsspec file system of `url`, and its root in it. "::" is part of a name except where `url` is wrapped."""
    first, colons, _ = url.partition("::")
    if not colons or is_wrapped(url):
        return cast(tuple[Any, str], fsspec.url_to_fs(url, **settings))
    fs, _ = fsspec.url_to_fs(first, **settings)
    return fs, fs._strip_protocol(url)
