"""The rows of CSV and Parquet files, one by one in bounded memory.

A row that cannot be parsed comes out as a RowProblem in its place, and so does a file that breaks off.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.seeds.fields import RowProblem
from ray_jobs.seeds.json_rows import ROW_LIMIT, Row

DAMAGED = "damaged_file"
DELIMITERS = (",", "\t", ";", "|")
_PARQUET_ROWS = 1024
_PARQUET_BYTES = 64 << 20  # of a batch, as the file's own counts say
_PARQUET_READ = 8 << 20
"""Bytes of a column that are read at once; Arrow would read all that a row group has of it."""


def until_damage(rows: Iterator[Row]) -> Iterator[Row]:
    """`rows` up to where the file cannot be read on (truncated, corrupt), and a row that says so.

    Errors of the storage are StorageErrors, no damage, and propagate.
    """
    last = 0
    try:
        for row in rows:
            last = row.number
            yield row
    except (OSError, EOFError, pa.ArrowException) as error:
        text = f"expected more rows, but the rest of the file cannot be read: {error}"
        yield Row(last + 1, RowProblem(DAMAGED, text), b"")


def read_csv(file: BinaryIO, delimiter: str = ",") -> Iterator[Row]:
    """The records of a CSV file with a header line, as RFC 4180 has them: double quotes, UTF-8, any line ends."""
    csv.field_size_limit(ROW_LIMIT)  # of the whole process; the default of 128 KiB is short of long responses
    lines = _CsvLines(file)
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    header = _header(reader)
    while True:
        number = reader.line_num + 1
        lines.remove()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number, RowProblem("malformed_csv", f"malformed CSV: {error}"), lines.raw)
            continue
        if cells:
            yield Row(number, _record(header, cells), lines.raw)


def csv_header(file: BinaryIO, delimiter: str = ",") -> list[str]:
    """The column names of a CSV file; empty where it has no line. Raises RowProblem where they are malformed."""
    return _header(csv.reader(_CsvLines(file), strict=True, delimiter=delimiter))


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        return next(reader, [])
    except csv.Error as error:
        raise RowProblem("malformed_csv", f"malformed CSV: {error}") from None


def read_parquet(file: BinaryIO, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a Parquet file, of these columns alone."""
    opened = pq.ParquetFile(file, buffer_size=_PARQUET_READ, pre_buffer=False)
    number = 0
    for group in range(opened.num_row_groups):
        for batch in _batches(opened, group, list(columns)):
            for value in _values(batch):
                number += 1
                yield Row(number, value)


def _batches(file: pq.ParquetFile, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a row group in batches of bounded size.

    Arrow gives nested columns in batches of less than 2 GB alone. What a file counts is smaller than what comes
    out where texts repeat: then it is tried again with a quarter of the rows.
    """
    about = file.metadata.row_group(group)
    parts = [about.column(index) for index in range(about.num_columns)]
    size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in columns)
    rows = max(1, min(_PARQUET_ROWS, about.num_rows * _PARQUET_BYTES // max(1, size)))
    done = 0
    while True:
        skip = done
        try:
            for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns):
                if skip >= batch.num_rows:
                    skip -= batch.num_rows
                    continue
                batch = batch.slice(skip)
                skip, done = 0, done + batch.num_rows
                yield batch
            return
        except pa.ArrowNotImplementedError:
            if rows == 1:
                raise
            rows = max(1, rows // 4)


def _record(header: list[str], cells: list[str]) -> object:
    if len(cells) != len(header):
        text = f"expected {len(header)} columns as in the header, got {len(cells)}"
        return RowProblem("wrong_column_count", text)
    if cells == header and len(header) > 1:
        return RowProblem("repeated_header", "expected a record, found the header again")
    return dict(zip(header, cells, strict=True))


def _values(batch: pa.RecordBatch) -> Iterator[object]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            yield _value(batch.slice(index, 1))


def _value(batch: pa.RecordBatch) -> object:
    try:
        return batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return RowProblem("undecodable", f"expected UTF-8, byte {error.start + 1} of a text is not")


class _CsvLines:
    """The lines of a file as text, and the bytes of the last ones.

    A line ends with CR, LF or both. Bytes that are not UTF-8 become lone surrogates, by which the row's own check
    finds them.
    """

    def __init__(self, file: BinaryIO) -> None:
        # "" leaves line ends as they are, for those in quotes belong to a text
        self._lines = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        self._since = list[str]()

    @property
    def raw(self) -> bytes:
        """The bytes of the lines since the last call of `remove`."""
        return "".join(self._since).encode(errors="surrogateescape")

    def remove(self) -> None:
        """Begin with the next line."""
        self._since.clear()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._lines.readline(ROW_LIMIT)
        if not line:
            raise StopIteration
        if len(line) >= ROW_LIMIT:
            raise EOFError(f"a line has {ROW_LIMIT:,} characters or more")
        self._since.append(line)
        return line.removeprefix("\ufeff")
