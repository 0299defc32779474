"""Finds the files that a seed source names and tells, before anything starts, whether they can be read."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa

from evolve.masking import mask_url
from ray_jobs.errors import SeedError
from ray_jobs.storage import Entry, Store, open_pattern, open_store
from ray_jobs.storage_urls import file_name, split_glob

Format = Literal["auto", "jsonl", "json", "csv", "parquet"]

_FORMATS: dict[str, Format] = {
    ".json": "auto",  # an array or, as often, an object a line: the first character tells
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_BUFFER = 1 << 16  # bytes; as much of a truncated file is lost before its end
_CODECS: dict[str, Literal["gzip", "bz2", "zstd", "lz4"]] = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".zst": "zstd",
    ".lz4": "lz4",
}


@dataclass(frozen=True, slots=True)
class SeedFile:
    """A file of seeds: `path` in its store, `url` for people, `format` as far as its name tells it."""

    store: Store
    path: str
    size: int
    version: str
    format: Format

    @property
    def url(self) -> str:
        """The full name."""
        return self.store.url_of(self.path)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The content, decompressed where the name ends as that of a compressed file."""
        codec = _CODECS.get(posixpath.splitext(file_name(self.url))[1])
        with self.store.open_input(self.path) as file:
            if codec is None:
                yield file
            else:
                stream = pa.CompressedInputStream(cast(io.IOBase, file), codec)
                yield io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER)  # pyarrow's own has no readline


def find_files(paths: Sequence[str], format: Format, options: Mapping[str, Any]) -> list[SeedFile]:
    """The files that `paths` (files, folders, globs) name, each once: path by path, sorted within a path.

    A folder stands for the files of known formats at any depth in it, except hidden ones and those below names
    that start with "_". Empty files of a folder or glob are passed over. Raises SeedError where a path gives
    no file or an empty one.
    """
    found: dict[str, SeedFile] = {}
    for path in paths:
        for file in _expand(path, format, options):
            found.setdefault(file.url, file)
    return list(found.values())


def _expand(path: str, format: Format, options: Mapping[str, Any]) -> list[SeedFile]:
    store, pattern = open_pattern(path, options)
    if pattern:
        entries = store.glob(pattern)
    elif store.kind("") == "file":
        entries = [store.entry("")]
    else:
        entries = [entry for entry in store.glob("**/*") if _belongs(entry.path, format)]
    if not entries:
        wild = "; [ is a wildcard, [[] stands for itself" if "[" in pattern else ""
        raise SeedError(f"{mask_url(path)}: no file of seeds there{_near(path, options)}{wild}")
    files = [_seed_file(store, entry, format) for entry in entries]
    filled = [file for file in files if file.size]
    if not filled:
        raise SeedError(
            f"{mask_url(path)}: {'the file is' if len(files) == 1 else f'all {len(files)} files are'} empty"
        )
    return filled


def _seed_file(store: Store, entry: Entry, format: Format) -> SeedFile:
    file = SeedFile(store, *entry, format)
    if format != "auto":
        return file
    named = _format_of(file_name(file.url))
    if named is None:
        known = ", ".join(_FORMATS)
        raise SeedError(f"{file.url}: its name does not end in {known}; say seeds.format: jsonl, json, csv or parquet")
    return replace(file, format=named)


def _format_of(name: str) -> Format | None:
    stem, suffix = posixpath.splitext(name)
    return _FORMATS.get(posixpath.splitext(stem)[1] if suffix in _CODECS else suffix)


def _belongs(path: str, format: Format) -> bool:
    if any(part.startswith((".", "_")) for part in path.split("/")):
        return False
    named = _format_of(path)
    maybe_json = named == "auto" and format in ("json", "jsonl")
    return named is not None and (format in ("auto", named) or maybe_json)


def _near(path: str, options: Mapping[str, Any]) -> str:
    """What there is instead, as the end of a sentence."""
    above, _, name = path.rstrip("/").rpartition("/")
    if above.endswith(":/"):  # `path` is a bucket
        return ""
    store = open_store(split_glob(above)[0] or ("/" if path.startswith("/") else "."), options)
    names = store.names()
    if not names:
        return f", nor anything in {store.url}"
    near = get_close_matches(name, names, 3, 0.5) or names[:3]
    return f"; {store.url} has {', '.join(near)}"
