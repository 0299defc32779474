"""Tells a wrong configuration of the seeds from wrong seeds, by a look at each file before anything starts."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from io import BytesIO
from itertools import islice
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import SeedError
from ray_jobs.seeds.fields import RowProblem, value_at
from ray_jobs.seeds.files import Format, SeedFile
from ray_jobs.seeds.formats import DAMAGED, DELIMITERS, csv_header, read_csv, read_parquet, until_damage
from ray_jobs.seeds.json_rows import Row, begins_with_a_value, read_json, read_jsonl
from ray_jobs.seeds.layouts import Children, Layout
from ray_jobs.seeds.schema import check_types, children_of, not_a_list
from ray_jobs.seeds.streams import codec_of, head_of
from ray_jobs.seeds.turns import FIELDS

_SAMPLE = 20  # rows
_THREADS = 8
_NO_DATA = (
    (b"version https://git-lfs", "it is a pointer of Git LFS and not the file itself; git lfs pull fetches that"),
    (b"<!doctype html", "it is a page in HTML, perhaps a server's error"),
    (b"<html", "it is a page in HTML, perhaps a server's error"),
    (b"PK\x03\x04", "it is a ZIP archive; unpack it"),
    (b"\xfd7zXZ\x00", "it is compressed with xz; expected gzip, bzip2, zstd or lz4"),
    (b"PAR1", "it is a Parquet file; say seeds.format: parquet"),
)


def check_files(files: Iterable[SeedFile], layout: Layout) -> list[SeedFile]:
    """`files`, each with its format settled and its columns known.

    Raises SeedError for a file that is not of its format, a table without a required column, and a JSON file whose
    first rows all lack the field of the instruction: a name in the configuration is then more likely wrong than
    every row.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(partial(_checked, layout=layout), files))


def _checked(file: SeedFile, layout: Layout) -> SeedFile:
    try:
        if file.format == "parquet":
            return _check_parquet(file, layout)
        with file.open() as content:
            head = head_of(content).removeprefix(codecs.BOM_UTF8).lstrip()
            _check_beginning(file, head)
            if file.format != "csv":
                return _check_json(replace(file, format=_sniffed(file, head)), content, layout)
        return _check_csv(file, layout)
    except RowProblem as problem:
        raise SeedError(f"{file.url}: {problem}") from None
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SeedError(f"{file.url}: cannot be read as {file.format}: {error}") from error


def _check_beginning(file: SeedFile, head: bytes) -> None:
    for mark, told in _NO_DATA:
        if head[: len(mark)].lower() == mark.lower():
            raise RowProblem("format", f"expected {_KINDS[file.format]}, but {told}")


def _sniffed(file: SeedFile, head: bytes) -> Format:
    """Whether a JSON text is read line by line or as a whole."""
    if file.format == "auto" and head and head[:1] not in b"[{":
        start = head[:20].decode(errors="replace")
        raise RowProblem("format", f"expected a JSON array or a JSON object a line, it starts with {start!r}")
    if head[:1] == b"[" and file.format != "jsonl":
        return "json"
    with BytesIO(head) if b"\n" in head else file.open() as content:
        if begins_with_a_value(content):
            return "jsonl"
    with file.open() as content:
        first = next(read_json(content), None)
    return "jsonl" if first is None or isinstance(first.value, RowProblem) else "json"


def _check_parquet(file: SeedFile, layout: Layout) -> SeedFile:
    with file.open() as content:
        try:
            schema = pq.read_schema(content)
        except pa.ArrowException:
            content.seek(0)
            head = content.read(64)
            if codec := codec_of(head):
                told = f"expected a Parquet file, but it is compressed with {codec} as a whole; unpack it"
                raise RowProblem("format", told) from None
            _check_beginning(file, head)
            raise
    children = children_of(schema)
    _check_columns(children, layout)
    _check_repeated(schema.names, layout.used(children), "file")
    if doubtful := check_types(schema, layout):
        columns = [*layout.used(children), *(doubtful if layout.holds_text else ())]
        with file.open() as content:
            objects = _objects(read_parquet(content, columns))
        if not layout.holds_text and objects and not any(_is_list(value_at(row, doubtful[0])) for row in objects):
            raise RowProblem("schema", not_a_list(doubtful[0], "texts alone, none of which is JSON"))
        _complain(objects, layout)
    return _with_columns(file, children, layout)


def _check_csv(file: SeedFile, layout: Layout) -> SeedFile:
    delimiter, header = _delimiter(file, layout)
    _check_repeated(header, layout.used(_flat(header)), "header")
    settled = replace(file, delimiter=delimiter)
    with file.open() as content:
        objects = _objects(read_csv(content, delimiter))
    if not layout.holds_text and not any(_is_list(value) for row in objects for value in row.values()):
        raise RowProblem("format", "a CSV file holds no lists of turns; expected seeds.layout: columns")
    _check_columns(_flat(header), layout)
    _complain(objects, layout)
    return _with_columns(settled, _flat(header), layout)


def _delimiter(file: SeedFile, layout: Layout) -> tuple[str, list[str]]:
    """What separates the columns, and their names: that under which none is missing, or which gives the most."""
    found, fault = dict[str, list[str]](), None
    for delimiter in DELIMITERS:
        try:
            with file.open() as content:
                found[delimiter] = csv_header(content, delimiter)
        except RowProblem as problem:
            fault = fault or problem
        else:
            if layout.missing(_flat(found[delimiter])) is None:
                return delimiter, found[delimiter]
    if fault is not None:
        raise fault
    return max(found.items(), key=lambda item: len(item[1]))


def _check_json(file: SeedFile, content: BinaryIO, layout: Layout) -> SeedFile:
    values = _first(read_json(content) if file.format == "json" else read_jsonl(content))
    if values and isinstance(values[0], RowProblem) and values[0].reason == DAMAGED:
        raise values[0]
    objects = [value for value in values if isinstance(value, dict)]
    if not objects and len(values) == _SAMPLE:
        fault = next((f"; the first: {value}" for value in values if isinstance(value, RowProblem)), "")
        raise RowProblem("format", f"none of the first {_SAMPLE} rows is a JSON object{fault}")
    children = _merged(objects)
    if objects:
        _check_columns(children, layout)
        _complain(objects, layout)
    return _with_columns(file, children, layout)


def _first(rows: Iterable[Row]) -> list[object]:
    return [row.value for row in islice(until_damage(iter(rows)), _SAMPLE)]


def _objects(rows: Iterable[Row]) -> list[dict[str, object]]:
    return [value for value in _first(rows) if isinstance(value, dict)]


def _is_list(value: object) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("[", "{")


def _flat(header: Sequence[str]) -> Children:
    return dict.fromkeys(header, ())


def _merged(objects: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """The names of all rows, each with those one level below it."""
    found = dict[str, dict[str, None]]()
    for row in objects:
        for name, value in row.items():
            found.setdefault(name, {}).update(dict.fromkeys(value if isinstance(value, dict) else ()))
    return {name: list(below) for name, below in found.items()}


def _complain(objects: Sequence[Mapping[str, object]], layout: Layout) -> None:
    told = layout.complaint(objects)
    if told is not None:
        raise RowProblem("schema", told)


def _check_repeated(names: Sequence[str], used: Sequence[str], where: str) -> None:
    repeated = [name for name in used if names.count(name) > 1]
    if repeated:
        raise RowProblem("schema", f"the {where} names the column {repeated[0]!r} twice")


def _check_columns(children: Children, layout: Layout) -> None:
    missing = layout.missing(children)
    if missing is not None:
        raise RowProblem("schema", _told(*missing, children))


def _told(part: str, name: str, children: Children) -> str:
    present = list(children)
    spelt = {item.casefold(): item for item in reversed(present)}
    near = [spelt[match_] for match_ in get_close_matches(name.casefold(), spelt, 1)]
    listed = ", ".join(map(repr, present[:20])) or "none"
    below = [f"{top}.{name}" for top, inner in children.items() if name in inner]
    hint = f"; did you mean {near[0]!r}?" if near else f"; did you mean {below[0]!r}?" if below else ""
    how = "seeds.columns, or --columns of evolve score, maps names and paths such as a.0.b"
    if part == "instruction" and (talks := [field for field in FIELDS if field in children]):
        how = f"seeds.layout: messages reads the conversations in {talks[0]!r}"
    if part == "conversation":
        how = "seeds.columns.conversation names it, or a path such as a.0.b"
    return f"no column {name!r} for the {part}, the file has {listed}{hint} ({how})"


def _with_columns(file: SeedFile, children: Children, layout: Layout) -> SeedFile:
    used = layout.used(children)
    return replace(file, used=tuple(used), unused=tuple(name for name in children if name not in used))


_KINDS = {
    "auto": "JSON",
    "json": "JSON",
    "jsonl": "a JSON object a line",
    "csv": "a CSV file",
    "parquet": "a Parquet file",
}
