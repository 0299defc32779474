"""The rows of JSON, JSONL, CSV and Parquet files, one by one in bounded memory.

A row that cannot be parsed comes out as a RowProblem in its place, and so does a file that breaks off.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.seed_layouts import RowProblem

ROW_LIMIT = 16 << 20  # bytes; a longer row is no instruction but a file without line ends
DAMAGED = "damaged_file"
_WINDOW = 1 << 16
_PARQUET_ROWS = 1024
_SPACE = " \t\r\n"


class Row(NamedTuple):
    """One row: its line (JSONL, CSV: where it begins) or else its number, from 1, what it holds, and its bytes.

    `raw` is None where the file has no text of the row's own (Parquet, JSON arrays).
    """

    number: int
    value: object
    raw: bytes | None = None


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


def read_jsonl(file: BinaryIO) -> Iterator[Row]:
    """One JSON value a line. Blank lines are no rows; a byte order mark and CRLF do no harm."""
    for number, line in _lines(file):
        if not line.isspace():
            yield Row(number, _parsed(line), line)


def read_json(file: BinaryIO) -> Iterator[Row]:
    """The elements of one JSON array. What follows a malformed element cannot be told apart and is one problem."""
    number = 1
    window = _Window(file)
    try:
        window.expect("[")
        while window.peek() != "]":
            yield Row(number, window.value())
            number += 1
            if window.expect(",", "]") == "]":
                break
            if window.peek() == "]":
                raise RowProblem("malformed_json", "expected an element after ','")
    except RowProblem as problem:
        text = f"malformed JSON: {problem}; the rest of the file cannot be read"
        yield Row(number, RowProblem(problem.reason, text), window.rest())


def read_csv(file: BinaryIO) -> Iterator[Row]:
    """The records of a CSV file with a header line, as RFC 4180 has them: commas, double quotes, UTF-8."""
    csv.field_size_limit(ROW_LIMIT)  # of the whole process; the default of 128 KiB is short of long responses
    lines = _CsvLines(file)
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    while True:
        number, lines.raw = reader.line_num + 1, b""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number, RowProblem("malformed_csv", f"malformed CSV: {error}"), lines.raw)
            continue
        if cells:
            yield Row(number, _record(header, cells), lines.raw)


def csv_header(file: BinaryIO) -> list[str]:
    """The column names of a CSV file; empty where it has no line. Raises RowProblem where they are malformed."""
    try:
        return next(csv.reader(_CsvLines(file), strict=True), [])
    except csv.Error as error:
        raise RowProblem("malformed_csv", f"malformed CSV: {error}") from None


def read_parquet(file: BinaryIO, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a Parquet file, of these columns alone."""
    number = 0
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_PARQUET_ROWS, columns=list(columns)):
        for value in _values(batch):
            number += 1
            yield Row(number, value)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(ROW_LIMIT):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        yield number, line
        while len(line) == ROW_LIMIT and not line.endswith(b"\n"):
            line = file.readline(ROW_LIMIT)


def _parsed(line: bytes) -> object:
    if len(line) >= ROW_LIMIT:
        return RowProblem("too_long", f"expected a line of less than {ROW_LIMIT:,} bytes")
    try:
        return json.loads(line.decode().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        return RowProblem("undecodable", f"expected UTF-8, byte {error.start + 1} of the line is not")
    except json.JSONDecodeError as error:
        return RowProblem("malformed_json", f"malformed JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a deep nest
        return RowProblem("malformed_json", f"malformed JSON: {error}")


def _record(header: list[str], cells: list[str]) -> object:
    if len(cells) != len(header):
        text = f"expected {len(header)} columns as in the header, got {len(cells)}"
        return RowProblem("wrong_column_count", text)
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
    """The lines of a file as text, with the bytes of those since `raw` was last emptied.

    Bytes that are not UTF-8 become lone surrogates, by which the row's own check finds them.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._lines = _lines(file)
        self.raw = b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        _, line = next(self._lines)
        if len(line) >= ROW_LIMIT:
            raise EOFError(f"a line has {ROW_LIMIT:,} bytes or more")
        self.raw += line
        return line.decode(errors="surrogateescape")


class _Window:
    """The part of a JSON text that is being parsed.

    The standard library's decoder reads value after value from it. Streaming parsers on yajl replace halves of
    surrogate pairs with "?" in silence and give up a whole file at a number that they cannot hold.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._text, self._at, self._ended = "", 0, False
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape").decode
        self._parse = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._fill()

    def expect(self, *allowed: str) -> str:
        """Step over one of the characters `allowed`."""
        found = self.peek()
        if found not in allowed:
            expected = " or ".join(map(repr, allowed))
            reason = "malformed_json" if found else "truncated_json"
            raise RowProblem(reason, f"expected {expected}, found {repr(found) if found else 'the end of the file'}")
        self._at += 1
        return found

    def value(self) -> object:
        """Step over one value."""
        self.peek()
        while True:
            try:
                value, end = self._parse(self._text, self._at)
            except json.JSONDecodeError as error:
                self._fill_or_raise(error)
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, a deep nest
                raise RowProblem("malformed_json", str(error)) from None
            else:
                # a number at the edge of the window may go on behind it
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
                self._fill()

    def rest(self) -> bytes:
        """What is left of the window."""
        return self._text[self._at :].encode(errors="surrogateescape")

    def _fill_or_raise(self, error: json.JSONDecodeError) -> None:
        if self._ended:
            cut = error.pos >= len(self._text) or error.msg.startswith("Unterminated string")
            raise RowProblem("truncated_json" if cut else "malformed_json", error.msg) from None
        if len(self._text) - self._at >= ROW_LIMIT:
            raise RowProblem("malformed_json", f"{error.msg}, or an element of {ROW_LIMIT:,} characters") from None
        self._fill()

    def _fill(self) -> None:
        # as much again as is there, so that a long element is parsed anew only a few times
        chunk = self._file.read(max(_WINDOW, len(self._text) - self._at))
        self._ended = not chunk
        self._text = self._text[self._at :] + self._decode(chunk, final=self._ended)
        self._at = 0
