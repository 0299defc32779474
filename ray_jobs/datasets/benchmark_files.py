"""Reads a folder of benchmark files: every text in them, wherever it stands."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import ConfigError
from ray_jobs.output.checksums import checksum
from ray_jobs.seeds.fields import RowProblem
from ray_jobs.seeds.formats import read_csv, read_parquet
from ray_jobs.seeds.json_rows import Row, read_jsonl
from ray_jobs.storage.store import Store

GZIP = ".gz"


@dataclass(frozen=True)
class BenchmarkFile:
    """One file: its path below the folder, its items (rows, or lines of text) and its checksum."""

    path: str
    items: int
    checksum: str


def read_benchmarks(store: Store) -> Iterator[tuple[BenchmarkFile, list[str]]]:
    """Each file of the folder, at any depth, with all its texts. Memory is one file.

    JSON (an array, an object or one a line), JSONL, Parquet and CSV give every string of every row, however deep it
    is nested; `.txt` gives its lines. Each may be compressed (`.gz`). Files of other kinds are passed over. Raises
    ConfigError where no file is left, and at a row that cannot be read, naming it: a benchmark of which half is known
    would pass for one that is kept out.
    """
    paths = [path for path, _ in store.list() if _suffix(path) in READERS]
    if not paths:
        raise ConfigError(f"--decontaminate {store.url}: expected a folder with files of {', '.join(READERS)}")
    for path in paths:
        data = store.read_bytes(path)
        try:
            content = gzip.decompress(data) if path.endswith(GZIP) else data
            rows = [_checked(row) for row in READERS[_suffix(path)](content)]
        except (RowProblem, OSError, EOFError, zlib.error, ValueError, RecursionError, pa.ArrowException) as error:
            raise ConfigError(f"--decontaminate {store.url_of(path)}: cannot be read: {error}") from None
        yield BenchmarkFile(path, len(rows), checksum(data)), [text for row in rows for text in _texts(row)]


def _checked(row: Row) -> object:
    if isinstance(row.value, RowProblem):
        raise ValueError(f"row {row.number}: {row.value}")
    return row.value


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _jsonl(content: bytes) -> Iterable[Row]:
    return read_jsonl(BytesIO(content))


def _json(content: bytes) -> Iterable[Row]:
    try:
        value = json.loads(content)
    except json.JSONDecodeError:
        return _jsonl(content)
    return [Row(number, item) for number, item in enumerate(value if isinstance(value, list) else [value], 1)]


def _parquet(content: bytes) -> Iterable[Row]:
    names = pq.read_schema(BytesIO(content)).names
    return read_parquet(BytesIO(content), names)


def _csv(content: bytes) -> Iterable[Row]:
    return read_csv(BytesIO(content))


def _lines(content: bytes) -> Iterable[Row]:
    return [Row(number, line) for number, line in enumerate(content.decode().splitlines(), 1) if line.strip()]


def _suffix(path: str) -> str:
    return "." + path.lower().removesuffix(GZIP).rpartition(".")[2]


READERS: Mapping[str, Callable[[bytes], Iterable[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
    ".csv": _csv,
    ".txt": _lines,
}
