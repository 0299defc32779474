"""Finds the files that a seed source names, and what it passes over, before anything starts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import urlsplit

from ray_jobs.errors import SeedError
from ray_jobs.seeds.streams import Codec, as_utf8, decompressed
from ray_jobs.seeds.walk import ANYWHERE, HIDDEN, is_hidden, local_path, split_local, walk
from ray_jobs.storage.store import Entry, Store, open_store
from ray_jobs.storage.urls import split_glob

Format = Literal["auto", "jsonl", "json", "csv", "parquet"]

UNKNOWN, OTHER_FORMAT, EMPTY, OUTPUT = "unknown_kind", "other_format", "empty", "output_of_a_run"
_FORMATS: dict[str, Format] = {
    ".json": "auto",  # an array or, as often, an object a line: the content tells
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".jl": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_CODECS: dict[str, Codec] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".bz2": "bz2",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".lz4": "lz4",
}
_OF_A_RUN = re.compile(
    r"(?:(?:augment|instructions)/)?"  # the outputs of phases in that of a run of AutoIF
    r"(?:(?:data|rejected|plan|epochs|entries|staging|sessions|analyses|report|manifest|lease)(?:/|$)"
    r"|(?:run\.json|report\.json|_slm_evolve\.json)$)"
)
# what lies in every output of a run from its beginning
_RUN_MARK = re.compile(r"(?:^|/)(?:plan/index\.json|epochs/\d+\.lease|lease/\d+\.json)$")


@dataclass(frozen=True, slots=True)
class SeedFile:
    """A file of seeds: `path` in its store, `url` for people, `format` as far as its name tells it.

    What a look at its content tells: `delimiter` is that of its CSV, `used` its columns that hold seeds, `unused` the
    others.
    """

    store: Store
    path: str
    size: int
    version: str
    format: Format
    delimiter: str = ","
    used: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The full name."""
        return self.store.url_of(self.path)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The content; that of texts decompressed, in UTF-8 and with line ends."""
        with self.store.open_input(self.path) as file:
            if self.format == "parquet":  # which is read from its end: no look at its beginning
                yield file
            else:
                codec = _CODECS.get(_suffixes(self.url)[1])
                yield as_utf8(decompressed(file, codec), line_ends=self.format != "csv")


@dataclass
class Found:
    """The files of a source, in order, and the URLs that were passed over, by the reason."""

    files: dict[str, SeedFile] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, reason: str, urls: Iterable[str]) -> None:
        """Note what is passed over."""
        for url in urls:
            self.skipped.setdefault(reason, []).append(url)


def find_files(paths: Sequence[str], format: Format, options: Mapping[str, Any], output: str = "") -> Found:
    """The files that `paths` (files, folders, globs) name, each once: path by path, sorted within a path.

    A path that exists as it stands is that file or folder, whatever wildcards it has. A folder stands for the files of
    known formats at any depth in it, through links too, except hidden ones and those below names that
    start with "_", which a wildcard does not match either. Empty files of a folder or glob are passed over, and so are
    outputs of runs below it, `output` among them, and what lies where a run writes in `output`. Raises SeedError where
    a path gives no file or an empty one.
    """
    found = Found()
    for path in paths:
        for file in _expand(path, format, options, output, found):
            found.files.setdefault(file.url, file)
    return found


@dataclass(frozen=True)
class _Place:
    """Where a path leads: a file, or what of a folder matches a pattern, empty for a folder as a whole.

    `names` are paths below the base by which an output of a run is known.
    """

    store: Store
    base: str
    entries: Sequence[Entry]
    pattern: tuple[str, ...]
    names: Sequence[str] = ()
    single: bool = False

    @property
    def url(self) -> str:
        return self.store.url_of(self.base)


def _expand(path: str, format: Format, options: Mapping[str, Any], output: str, found: Found) -> Iterable[SeedFile]:
    local = local_path(path)
    place = _remote(path, options, found) if local is None else _local(local, options, found)
    entries = _outside(place, output, found)
    files = [SeedFile(place.store, *entry, format) for entry in entries]
    if not place.single:
        files = _known(files, place.pattern, format, found)
    if not files:
        raise SeedError(f"{path}: no file of seeds there{_passed_over(place, found) or _near(path, options)}")
    files = [replace(file, format=_format(file, format)) for file in files]
    filled = [file for file in files if file.size]
    if not filled:
        raise SeedError(f"{path}: {'the file is' if len(files) == 1 else f'all {len(files)} files are'} empty")
    found.skip(EMPTY, (file.url for file in files if not file.size))
    return filled


def _local(path: str, options: Mapping[str, Any], found: Found) -> _Place:
    base, pattern = split_local(path)
    # from the root, for a folder's own name may hold what fsspec takes for a chain of URLs
    store = open_store("/", options)
    below = base.lstrip("/")
    if not pattern:
        kind = store.kind(below)
        if kind != "folder":
            return _Place(store, below, [store.entry(below)] if kind else [], (), single=True)
    elif store.kind(below) is None:
        return _Place(store, below, [], pattern)
    walked = walk(base, pattern or (ANYWHERE,))
    for reason, name in walked.skipped:
        found.skip(reason, [posixpath.join(base, name)])
    entries = [store.entry(posixpath.join(below, name)) for name in walked.files]
    return _Place(store, below, entries, pattern, walk(base).files if ANYWHERE in pattern else walked.files)


def _remote(path: str, options: Mapping[str, Any], found: Found) -> _Place:
    folder, pattern = split_glob(path)
    # what looks like a wildcard may stand in a key, or begin the query of a URL
    if pattern or "?" in path:
        exact = open_store(path, options)
        if kind := exact.kind(""):
            folder, pattern = path, "" if kind == "file" else "**/*"
    store = open_store(folder, options)
    if not pattern and store.kind("") == "file":
        return _Place(store, "", [store.entry("")], (), single=True)
    parts = tuple(pattern.split("/")) if pattern else ()
    entries = store.glob(pattern or "**/*")
    hidden = {entry.path for entry in entries if is_hidden(entry.path, parts)}
    found.skip(HIDDEN, (store.url_of(name) for name in sorted(hidden)))
    everything = store.glob("**/*") if ANYWHERE in parts else entries
    kept = [entry for entry in entries if entry.path not in hidden]
    return _Place(store, "", kept, parts, [entry.path for entry in everything])


def _outside(place: _Place, output: str, found: Found) -> list[Entry]:
    """What no run has written: neither into `output` nor into a folder that looks like one.

    The records of another run's output count where the place is that output itself.
    """
    base = place.base and place.base + "/"
    runs = {mark.string[: mark.start()] for mark in map(_RUN_MARK.search, place.names) if mark}
    own, within = _between(output, place)
    others = tuple(f"{run}/" for run in {*runs, own or ""} if run)

    def is_written(entry: Entry) -> bool:
        path = entry.path.removeprefix(base)
        if path.startswith(others):
            return True
        if within is not None:
            return _OF_A_RUN.match(within if place.single else f"{within}/{path}".lstrip("/")) is not None
        return "" in runs and not path.startswith("data/") and _OF_A_RUN.match(path) is not None

    written = {entry.path for entry in place.entries if is_written(entry)}
    found.skip(OUTPUT, (place.store.url_of(path) for path in sorted(written)))
    return [entry for entry in place.entries if entry.path not in written]


def _between(output: str, place: _Place) -> tuple[str | None, str | None]:
    """The path of the output below the place, and that of the place below the output; None where it is not below."""
    there = local_path(output) if output else None
    if there is not None and "://" not in place.url:
        return _from(str(Path(place.url).resolve()), str(Path(there).resolve()))
    return _from(place.url, output) if output else (None, None)


def _from(one: str, other: str) -> tuple[str | None, str | None]:
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    below = other[len(one) :].strip("/") if other.startswith(one) else None
    return below, one[len(other) :].strip("/") if one.startswith(other) else None


def _known(files: list[SeedFile], pattern: tuple[str, ...], format: Format, found: Found) -> list[SeedFile]:
    """The files of a folder or glob whose format is known; a pattern that names an ending asks for all."""
    if pattern and pattern[-1] not in ("*", ANYWHERE):
        return files
    kept = []
    for file in files:
        named = _format_of(file.url)
        maybe_json = named == "auto" and format in ("json", "jsonl")
        if named is None and not (pattern and format != "auto"):
            found.skip(UNKNOWN, [file.url])
        elif named is None or format in ("auto", named) or maybe_json:
            kept.append(file)
        else:
            found.skip(OTHER_FORMAT, [file.url])
    return kept


def _format(file: SeedFile, format: Format) -> Format:
    if format != "auto":
        return format
    named = _format_of(file.url)
    if named is None:
        known = ", ".join(_FORMATS)
        raise SeedError(f"{file.url}: its name does not end in {known}; say seeds.format: jsonl, json, csv or parquet")
    return named


def _format_of(url: str) -> Format | None:
    return _FORMATS.get(_suffixes(url)[0])


def _suffixes(url: str) -> tuple[str, str]:
    """What a name ends in, in lower case: the ending of its format, and that of its compression or nothing."""
    name = urlsplit(url).path if url.startswith(("http://", "https://")) else url
    stem, suffix = posixpath.splitext(name.lower())
    return (posixpath.splitext(stem)[1], suffix) if suffix in _CODECS else (suffix, "")


def _passed_over(place: _Place, found: Found) -> str:
    told = [
        f"{len(urls)} passed over as {reason.replace('_', ' ')}: {urls[0]}"
        for reason, urls in found.skipped.items()
        if any(url.startswith(place.url) for url in urls)
    ]
    return f" ({'; '.join(told)})" if told else ""


def _near(path: str, options: Mapping[str, Any]) -> str:
    """What there is instead, as the end of a sentence."""
    if path.startswith(("http://", "https://")):
        return ", says the server (404)"
    above, _, name = path.rstrip("/").rpartition("/")
    if above.endswith(":/"):  # `path` is a bucket
        return ""
    store = open_store(split_glob(above)[0] or ("/" if path.startswith("/") else "."), options)
    names = store.names()
    if not names:
        return f", nor anything in {store.url}"
    near = get_close_matches(name, names, 3, 0.5) or names[:3]
    hint = "" if name not in names else "; a name with *, ? or [ is a pattern"
    return f"; {store.url} has {', '.join(near)}{hint}"
