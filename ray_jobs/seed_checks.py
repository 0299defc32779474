"""Tells a wrong configuration of the seeds from wrong seeds, by a look at each file before anything starts."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import SeedError
from ray_jobs.seed_files import Format, SeedFile
from ray_jobs.seed_formats import DAMAGED, csv_header, read_json, read_jsonl, until_damage
from ray_jobs.seed_layouts import Layout, RowProblem

_SAMPLE = 20  # rows
_THREADS = 8


def check_files(files: Sequence[SeedFile], layout: Layout) -> list[SeedFile]:
    """`files`, each with its format settled.

    Raises SeedError for a file that is not of its format, a table without a required column, and a JSON file whose
    first rows all lack the field of the instruction: a name in the configuration is then more likely wrong than
    every row.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(partial(_checked, layout=layout), files))


def _checked(file: SeedFile, layout: Layout) -> SeedFile:
    try:
        settled = replace(file, format=_sniffed(file)) if file.format == "auto" else file
        _CHECKS[settled.format](settled, layout)
    except RowProblem as problem:
        raise SeedError(f"{file.url}: {problem}") from None
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SeedError(f"{file.url}: cannot be read as {file.format}: {error}") from error
    return settled


def _sniffed(file: SeedFile) -> Format:
    with file.open() as content:
        head = content.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
    if head and head[:1] not in b"[{":
        start = head[:20].decode(errors="replace")
        raise RowProblem("format", f"expected a JSON array or a JSON object a line, it starts with {start!r}")
    return "json" if head[:1] == b"[" else "jsonl"


def _check_parquet(file: SeedFile, layout: Layout) -> None:
    with file.open() as content:
        schema = pq.read_schema(content)
    _check_columns(schema.names, layout)
    for name in layout.names:
        if name in schema.names and not _fits(schema.field(name).type, layout):
            expected = "text" if layout.holds_text else "a list of turns"
            raise RowProblem("schema", f"column {name!r} has the type {schema.field(name).type}, expected {expected}")


def _fits(type_: pa.DataType, layout: Layout) -> bool:
    if not layout.holds_text:
        return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))
    held = type_.value_type if pa.types.is_dictionary(type_) else type_
    is_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(test(held) for test in is_text)


def _check_csv(file: SeedFile, layout: Layout) -> None:
    if not layout.holds_text:
        raise RowProblem("format", "a CSV file holds no lists of turns; expected seeds.layout: columns")
    with file.open() as content:
        header = csv_header(content)
    repeated = [name for name in layout.names if header.count(name) > 1]
    if repeated:
        raise RowProblem("schema", f"the header names the column {repeated[0]!r} twice")
    _check_columns(header, layout)


def _check_columns(present: Sequence[str], layout: Layout) -> None:
    for part, name in layout.required.items():
        if name not in present:
            raise RowProblem("schema", _missing(part, name, present))


def _check_json(file: SeedFile, layout: Layout) -> None:
    with file.open() as content:
        read = read_json if file.format == "json" else read_jsonl
        values = [row.value for row in islice(until_damage(read(content)), _SAMPLE)]
    if values and isinstance(values[0], RowProblem) and values[0].reason == DAMAGED:
        raise values[0]
    objects = [value for value in values if isinstance(value, dict)]
    if not objects and len(values) == _SAMPLE:
        raise RowProblem("format", f"none of the first {_SAMPLE} rows is a JSON object")
    part, name = next(iter(layout.required.items()))
    present = list(dict.fromkeys(key for value in objects for key in value))
    if objects and name not in present:
        raise RowProblem("schema", _missing(part, name, present))


def _missing(part: str, name: str, present: Sequence[str]) -> str:
    near = get_close_matches(name, present, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(map(repr, present[:20])) or "none"
    return f"no column {name!r} for the {part}, the file has {listed}{hint} (seeds.columns maps names)"


_CHECKS = {"parquet": _check_parquet, "csv": _check_csv, "json": _check_json, "jsonl": _check_json}
