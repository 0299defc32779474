"""The rows of JSON texts: an object a line, or the elements of arrays, one by one in bounded memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ray_jobs.seeds.fields import RowProblem

ROW_LIMIT = 16 << 20  # bytes; a longer row is no instruction but a file without line ends
_WINDOW = 1 << 16
_BOM = "\ufeff"  # files that were put behind one another have it anywhere
_SPACE = " \t\r\n" + _BOM
_DECODER = json.JSONDecoder()


class Row(NamedTuple):
    """One row: its line (JSONL, CSV: where it begins) or else its number, from 1, what it holds, and its bytes.

    `raw` is None where the file has no text of the row's own (Parquet, JSON arrays).
    """

    number: int
    value: object
    raw: bytes | None = None


def lines_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line, without byte order marks; of one beyond ROW_LIMIT its beginning."""
    number = 0
    while line := file.readline(ROW_LIMIT):
        number += 1
        yield number, line.removeprefix(codecs.BOM_UTF8)
        while len(line) == ROW_LIMIT and not line.endswith(b"\n"):
            line = file.readline(ROW_LIMIT)


def read_jsonl(file: BinaryIO) -> Iterator[Row]:
    """One JSON value a line, or several, or a list of objects, which are its rows then. Blank lines are no rows."""
    for number, line in lines_of(file):
        if not line.strip():
            continue
        values = _parsed(line)
        if len(values) == 1 and not _objects(values[0]):
            yield Row(number, values[0], line)
        else:
            yield from (Row(number, item) for value in values for item in _objects(value) or [value])


def read_json(file: BinaryIO) -> Iterator[Row]:
    """The elements of a JSON array and what follows it: further arrays, or objects, over any number of lines.

    What follows something malformed cannot be told apart and is one problem.
    """
    number, window, after = 1, _Window(file), ""
    try:
        while start := window.peek():
            for value in window.elements() if start == "[" else [window.value()]:
                yield Row(number, value)
                number += 1
            after = f" after the end of the {'array' if start == '[' else 'object'}"
            window.skip(",")
    except RowProblem as problem:
        at = f"{problem} in line {window.line}"
        text = f"malformed JSON{after if window.outside else ''}: {at}; the rest of the file cannot be read"
        yield Row(number, RowProblem(problem.reason, text), window.rest())


def begins_with_a_value(file: BinaryIO) -> bool:
    """Whether the first line that is not blank is JSON by itself."""
    first = next((line for _, line in lines_of(file) if line.strip()), b"")
    return not isinstance(_parsed(first)[0], RowProblem)


def _objects(value: object) -> list[object]:
    """The elements of a list of objects; nothing of anything else."""
    return value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else []


def _parsed(line: bytes) -> list[object]:
    """The values of a line, or what is the matter with it."""
    if len(line) >= ROW_LIMIT:
        return [RowProblem("too_long", f"expected a line of less than {ROW_LIMIT:,} bytes")]
    try:
        text = line.decode().rstrip("\r\n")
        try:
            return [json.loads(text)]
        except json.JSONDecodeError as error:
            return _several(text) if error.msg == "Extra data" else [_malformed(error)]
    except UnicodeDecodeError as error:
        return [RowProblem("undecodable", f"expected UTF-8, byte {error.start + 1} of the line is not")]
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a deep nest
        return [RowProblem("malformed_json", f"malformed JSON: {error}")]


def _several(text: str) -> list[object]:
    """Objects and arrays side by side, as files without a last line end leave them when they are put together."""
    values, at = list[object](), 0
    while (at := _next(text, at)) < len(text):
        if values and text[at] not in "{[":
            return [RowProblem("malformed_json", f"malformed JSON: Extra data at column {at + 1}")]
        try:
            value, at = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            return [_malformed(error)]
        values.append(value)
    return values


def _next(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _malformed(error: json.JSONDecodeError) -> RowProblem:
    return RowProblem("malformed_json", f"malformed JSON: {error.msg} at column {error.colno}")


class _Window:
    """The part of a JSON text that is being parsed.

    The standard library's decoder reads value after value from it. Streaming parsers on yajl replace halves of
    surrogate pairs with "?" in silence and give up a whole file at a number that they cannot hold.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._text, self._at, self._ended = "", 0, False
        self._lines = 0
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape").decode
        self.outside = True

    @property
    def line(self) -> int:
        """The line that is being read, from 1."""
        return self._lines + self._text.count("\n", 0, self._at) + 1

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            self._at = _next(self._text, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill()

    def skip(self, character: str) -> None:
        """Step over a character if it is the next one."""
        self._at += self.peek() == character

    def elements(self) -> Iterator[object]:
        """Step over an array, element by element. Raises RowProblem."""
        self.outside = False
        self._expect("[")
        while self.peek() != "]":
            yield self.value()
            if self._expect(",", "]") == "]":
                break
            if self.peek() == "]":
                raise RowProblem("malformed_json", "expected an element after ','")
        else:
            self._expect("]")
        self.outside = True

    def value(self) -> object:
        """Step over one value. Raises RowProblem."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
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

    def _expect(self, *allowed: str) -> str:
        found = self.peek()
        if found not in allowed:
            expected = " or ".join(map(repr, allowed))
            reason = "malformed_json" if found else "truncated_json"
            raise RowProblem(reason, f"expected {expected}, found {repr(found) if found else 'the end of the file'}")
        self._at += 1
        return found

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
        self._lines += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + self._decode(chunk, final=self._ended)
        self._at = 0
