"""How one row of a seed file becomes an instruction, an input and an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
_ROLES = {
    "human": USER,
    "user": USER,
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "model": ASSISTANT,
    "system": SYSTEM,
}


class RowProblem(Exception):
    """Why a row is no seed: `reason` is a class in snake_case to count by, the text says what was expected."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Example(NamedTuple):
    """What a row says. The counts are of turns of a conversation that an instruction has no place for."""

    instruction: str
    input: str = ""
    output: str = ""
    system_turns: int = 0
    later_turns: int = 0


class Layout(Protocol):
    """A way to read rows."""

    @property
    def names(self) -> Sequence[str]:
        """All fields that are read."""
        ...

    @property
    def required(self) -> Mapping[str, str]:
        """The fields that a table must have, by what they serve as ("instruction")."""
        ...

    @property
    def holds_text(self) -> bool:
        """Whether the fields hold text, as opposed to lists of turns."""
        ...

    def read(self, row: Mapping[str, object]) -> Example:
        """The example in a row. Raises RowProblem."""
        ...


class ColumnsLayout:
    """One field each for instruction, input and output; the last two may be absent or null.

    `columns` maps those three to the names in the file; a name given there must be a column of every table.
    """

    holds_text = True

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._of = {part: columns.get(part, part) for part in ("instruction", "input", "output")}
        self.names = tuple(self._of.values())
        self.required = {part: self._of[part] for part in ("instruction", *columns)}

    def read(self, row: Mapping[str, object]) -> Example:
        """Raises RowProblem where the instruction is missing, or a field no text."""
        name = self._of["instruction"]
        if name not in row:
            raise RowProblem("missing_field", f"expected a field {name!r}, the row has {_listed(row)}")
        instruction = _filled(text_of(row[name], f"field {name!r}"), f"field {name!r}")
        return Example(instruction, self._optional(row, "input"), self._optional(row, "output"))

    def _optional(self, row: Mapping[str, object], part: str) -> str:
        value = row.get(self._of[part])
        return "" if value is None else text_of(value, f"field {self._of[part]!r}")


class TurnsLayout:
    """A conversation in a list of turns: `[{role_key: "user", content_key: "…"}, …]`.

    The first user turn is the instruction and the first assistant turn after it the output. System turns and what
    follows are left out and counted: a system text sets a tone for its own model and is no `input` to the task, and
    later turns make no sense without those before.
    """

    holds_text = False

    def __init__(self, field: str, role_key: str, content_key: str) -> None:
        self._field, self._role, self._content = field, role_key, content_key
        self.names = (field,)
        self.required = {"conversation": field}

    def read(self, row: Mapping[str, object]) -> Example:
        """Raises RowProblem where there is no list of turns, a turn is malformed or no user speaks."""
        if self._field not in row:
            raise RowProblem("missing_field", f"expected a field {self._field!r}, the row has {_listed(row)}")
        turns = row[self._field]
        if not isinstance(turns, list):
            raise RowProblem("wrong_type", f"field {self._field!r}: expected a list of turns, got {shown(turns)}")
        roles = [self._role_of(turn, self._place(number)) for number, turn in enumerate(turns, 1)]
        if USER not in roles:
            raise RowProblem("bad_conversation", f"field {self._field!r}: expected a turn of the user, found none")
        return self._example(turns, roles)

    def _example(self, turns: list[dict[str, object]], roles: list[str]) -> Example:
        asked = roles.index(USER)
        answered = next((n for n in range(asked + 1, len(roles)) if roles[n] == ASSISTANT), None)
        last = asked if answered is None else answered
        later = sum(role != SYSTEM for role in roles[last + 1 :])
        instruction = _filled(self._text(turns, asked), self._place(asked + 1))
        # an assistant that calls a tool has no content
        silent = answered is None or turns[answered].get(self._content) is None
        output = "" if silent else self._text(turns, last)
        return Example(instruction, "", output, roles.count(SYSTEM), later)

    def _role_of(self, turn: object, place: str) -> str:
        if not isinstance(turn, dict):
            raise RowProblem("bad_conversation", f"{place}: expected an object, got {shown(turn)}")
        role = turn.get(self._role)
        if not isinstance(role, str):
            raise RowProblem("bad_conversation", f"{place}: expected a role in {self._role!r}, got {shown(role)}")
        return _ROLES.get(role, role)  # others, such as "tool", answer nobody and count as later turns

    def _text(self, turns: list[dict[str, object]], index: int) -> str:
        place = f"{self._place(index + 1)}, {self._content!r}"
        content = turns[index].get(self._content)
        if isinstance(content, list):
            return "\n".join(_part(part, place) for part in content)
        return text_of(content, place)

    def _place(self, number: int) -> str:
        return f"field {self._field!r}, turn {number}"


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


def _filled(instruction: str, place: str) -> str:
    if not instruction.strip():
        raise RowProblem("empty_instruction", f"{place}: expected an instruction, found no text")
    return instruction


def _part(part: object, place: str) -> str:
    if not isinstance(part, dict) or part.get("type", "text") != "text":
        kind = part.get("type") if isinstance(part, dict) else part
        raise RowProblem("bad_conversation", f"{place}: expected parts of type 'text', got {shown(kind)}")
    return text_of(part.get("text"), place)


def _listed(row: Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in islice(row, 20)) or "none"


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
