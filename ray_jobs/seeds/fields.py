"""The fields of a row: where they are, what of them is text, and what is the matter where they are not."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Final

ABSENT: Final = object()
"""What `value_at` gives for a path that leads nowhere."""

# that are no white space to Python and show nothing: joiners of letters, blanks of scripts, variation selectors
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


class RowProblem(Exception):
    """Why a row is no seed: `reason` is a class in snake_case to count by, the text says what was expected."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def value_at(value: object, path: str) -> object:
    """What stands at `path`: a field's name, or names and places in lists between dots ("instances.0.input").

    A name that itself holds dots counts as it stands. ABSENT where the path leads nowhere.
    """
    if isinstance(value, dict):
        if path in value:
            return value[path]
        names = path.split(".")
        for length in range(len(names) - 1, 0, -1):
            head = ".".join(names[:length])
            if head in value and (found := value_at(value[head], ".".join(names[length:]))) is not ABSENT:
                return found
        return ABSENT
    if isinstance(value, list):
        place, _, rest = path.partition(".")
        if not place.isdecimal() or int(place) >= len(value):
            return ABSENT
        return value_at(value[int(place)], rest) if rest else value[int(place)]
    return ABSENT


def top_of(path: str, present: set[str]) -> str | None:
    """The longest beginning of `path` that is among the names of columns `present`."""
    names = path.split(".")
    heads = (".".join(names[:length]) for length in range(len(names), 0, -1))
    return next((head for head in heads if head in present), None)


def is_nothing(value: object) -> bool:
    """Whether a field holds no value: null, or NaN, as tables in memory write an empty cell."""
    return value is None or value is ABSENT or (isinstance(value, float) and math.isnan(value))


def text_of(value: object, place: str) -> str:
    """`value` if it is text that can be stored and tokenized. Raises RowProblem, naming `place`."""
    if not isinstance(value, str):
        raise RowProblem("wrong_type", f"{place}: expected text, got {shown(value)}")
    if "\0" in value:
        raise RowProblem("undecodable", f"{place}: expected text, found a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            at = f"{place}: expected Unicode text, character {error.start + 1}"
            raise RowProblem("undecodable", f"{at} is half a surrogate pair or a byte that is not UTF-8") from None
    return value


def as_json(value: object) -> str:
    """A value as JSON text; what JSON does not know, such as a date, as its own text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def is_blank(text: str) -> bool:
    """Whether a reader would see nothing: white space, control and format characters such as U+200B."""
    return not "!" <= text[:1] <= "~" and not any(
        unicodedata.category(item) not in ("Zs", "Zl", "Zp", "Cc", "Cf") and item not in _INVISIBLE for item in text
    )


def filled(instruction: str, place: str) -> str:
    """`instruction` if one can see something of it. Raises RowProblem, naming `place`."""
    if is_blank(instruction):
        raise RowProblem("empty_instruction", f"{place}: expected an instruction, found no text")
    return instruction


def shown(value: object) -> str:
    """A value of JSON as a short phrase."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a value of type {type(value).__name__}"
