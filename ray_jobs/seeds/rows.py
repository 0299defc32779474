"""The rows of one file of seeds, where they stand, and what they hold beside a seed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Final

from ray_jobs.seeds.files import SeedFile
from ray_jobs.seeds.formats import read_csv, read_parquet
from ray_jobs.seeds.json_rows import Row, read_json, read_jsonl

_BYTES: Final = object()


def rows_of(file: SeedFile, every_column: bool) -> Iterator[Row]:
    """The rows of a checked file; of a table the columns that hold seeds, or every one."""
    with file.open() as content:
        match file.format:
            case "parquet":
                yield from read_parquet(content, (*file.used, *(file.unused if every_column else ())))
            case "csv":
                yield from read_csv(content, file.delimiter)
            case "json":
                yield from read_json(content)
            case _:
                yield from read_jsonl(content)


def row_as_json(file: SeedFile, row: Row) -> str:
    """The place of a row and what it holds beside the pair, but for bytes, such as those of a picture."""
    assert isinstance(row.value, dict)
    others = {name: _plain(value) for name, value in row.value.items() if name not in file.used}
    told = {name: value for name, value in others.items() if value is not _BYTES}
    # in ASCII, for a text may hold what UTF-8 does not
    return json.dumps({"file": file.url, "line": row.number, "columns": told}, default=str)


def _plain(value: object) -> object:
    """A value as JSON has it: null for NaN and infinite numbers; _BYTES for what holds some."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        inner = {str(name): _plain(item) for name, item in value.items()}
        return _BYTES if any(item is _BYTES for item in inner.values()) else inner
    if isinstance(value, list):
        elements = [_plain(item) for item in value]
        return _BYTES if any(element is _BYTES for element in elements) else elements
    return _BYTES if isinstance(value, bytes) else value


def place_of(file: SeedFile, row: Row) -> str:
    """The file and the line or row, for people."""
    in_lines = file.format in ("jsonl", "csv")
    return f"{file.url}:{row.number}" if in_lines else f"{file.url}, row {row.number}"
