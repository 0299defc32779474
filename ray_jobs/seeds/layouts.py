"""How one row of a seed file becomes an instruction, an input and an output; and rows with a column for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from ray_jobs.seeds.fields import ABSENT, RowProblem, as_json, filled, is_nothing, shown, text_of, top_of, value_at
from ray_jobs.seeds.signs import MEDIA, signs_of

INPUT_AS_JSON, OUTPUT_LEFT_OUT = "input_as_json", "output_not_text"
Children = Mapping[str, Sequence[str]]
"""The columns of a file, each with the names one level below it."""


class Example(NamedTuple):
    """What a row says. The counts are of turns of a conversation that an instruction has no place for.

    `notes` are the names of what deserves a second look; see SeedReport.
    """

    instruction: str
    input: str = ""
    output: str = ""
    system_turns: int = 0
    later_turns: int = 0
    notes: tuple[str, ...] = ()


class Layout(Protocol):
    """A way to read rows."""

    @property
    def holds_text(self) -> bool:
        """Whether the fields hold text, as opposed to lists of turns."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """What serves as text alone ("instruction")."""
        ...

    def missing(self, children: Children) -> tuple[str, str] | None:
        """What the columns lack: what for ("instruction"), and its name; None where nothing is missing."""
        ...

    def used(self, children: Children) -> list[str]:
        """The columns that `read` looks at, of those that are there."""
        ...

    def paths(self, children: Children) -> dict[str, str]:
        """The path of what must be there, by what it serves as ("instruction", "conversation")."""
        ...

    def complaint(self, rows: Sequence[Mapping[str, object]]) -> str | None:
        """What the configuration should say, where these first rows of a file all show that it is wrong."""
        ...

    def read(self, row: Mapping[str, object]) -> Example:
        """The example in a row. Raises RowProblem."""
        ...


class ColumnsLayout:
    """One field each for instruction, input and output; the last two may be absent or null.

    `columns` maps those three to the paths of their fields, as `value_at` takes them; a field given there must be in
    every table. An empty path means that there is none. With `pairs` the output counts: it must be there, and be
    text, a number or a boolean; without, an output that is no text is left out and noted.
    """

    holds_text = True

    def __init__(self, columns: Mapping[str, str], pairs: bool = False) -> None:
        self._pairs = pairs
        self._of = {part: columns.get(part, part) for part in ("instruction", "input", "output")}
        asked = ("instruction", *columns, *(["output"] if pairs else []))
        self.required = {part: self._of[part] for part in asked if self._of[part]}
        self.texts = ("instruction", "output") if pairs else ("instruction",)
        self._input_given = "input" in columns

    def missing(self, children: Children) -> tuple[str, str] | None:
        """The first field that must be there and is not."""
        present = set(children)
        return next(((part, path) for part, path in self.required.items() if top_of(path, present) is None), None)

    def used(self, children: Children) -> list[str]:
        """The columns of the three fields, and those of media."""
        present = set(children)
        tops = [top_of(path, present) for path in self._of.values()]
        return list(dict.fromkeys(top for top in (*tops, *sorted(MEDIA & present)) if top is not None))

    def paths(self, children: Children) -> dict[str, str]:  # noqa: ARG002
        """Those of the instruction and of what was asked for."""
        return self.required

    def complaint(self, rows: Sequence[Mapping[str, object]]) -> str | None:
        """Paths that lead nowhere, lists in place of instructions, and an input that stands elsewhere in the rows."""
        for part, path in self.required.items():
            if rows and all(value_at(row, path) is ABSENT for row in rows):
                return f"nothing is at {path!r} for the {part} in the first {len(rows)} rows"
        path = self._of["instruction"]
        found = [value_at(row, path) for row in rows]
        if found and all(isinstance(item, list) for item in found):
            return f"field {path!r} holds a list, expected text; say seeds.columns.instruction: {path}.0 for its first"
        if self._input_given or any("input" in row for row in rows):
            return None
        elsewhere = {place for row in rows for place in _inputs_elsewhere(row)}
        if not elsewhere:
            return None
        place = min(elsewhere)
        return (
            f"no field 'input', but {place!r} holds one; say seeds.columns.input: {place}, "
            'or seeds.columns.input: "" to do without'
        )

    def read(self, row: Mapping[str, object]) -> Example:
        """Raises RowProblem where the instruction is missing or no text, or the row needs pictures."""
        path = self._of["instruction"]
        value = value_at(row, path)
        if value is ABSENT:
            raise RowProblem("missing_field", f"expected a field {path!r}, the row has {listed(row)}")
        instruction = filled(text_of(value, f"field {path!r}"), f"field {path!r}")
        notes = list[str]()
        input_ = self._input(row, notes)
        notes += signs_of(row, instruction, input_)
        return Example(instruction, input_, self._output(row, notes), notes=tuple(notes))

    def _input(self, row: Mapping[str, object], notes: list[str]) -> str:
        value = value_at(row, self._of["input"])
        if is_nothing(value):
            return ""
        place = f"field {self._of['input']!r}"
        if isinstance(value, str):
            return text_of(value, place)
        notes.append(INPUT_AS_JSON)
        return "" if value in ([], {}) else _written(value, place)

    def _output(self, row: Mapping[str, object], notes: list[str]) -> str:
        value = value_at(row, self._of["output"])
        if is_nothing(value):
            return ""
        if isinstance(value, list | dict):
            if self._pairs:
                raise RowProblem("wrong_type", f"field {self._of['output']!r}: expected text, got {shown(value)}")
            notes.append(OUTPUT_LEFT_OUT)
            return ""
        try:
            return _written(value, f"field {self._of['output']!r}")
        except RowProblem:
            if self._pairs:
                raise
            notes.append(OUTPUT_LEFT_OUT)
            return ""


def _written(value: object, place: str) -> str:
    """A field's text; that of JSON where it is no text. Raises RowProblem."""
    if isinstance(value, bool | int | float | list | dict):
        value = as_json(value)
    elif not isinstance(value, str | bytes):
        value = str(value)  # a date or a decimal of a table
    return text_of(value, place)


def _inputs_elsewhere(row: Mapping[str, object]) -> list[str]:
    """The paths of texts that are called input, but do not stand where the input is looked for."""
    found = []
    for name, value in row.items():
        if name.lower() == "input" and isinstance(value, str) and value.strip():
            found.append(name)
        path = f"{name}.0" if isinstance(value, list) else name
        inner = value[0] if isinstance(value, list) and value else value
        text = inner.get("input") if isinstance(inner, dict) else None
        if isinstance(text, str) and text.strip():
            found.append(f"{path}.input")
    return found


def listed(row: Mapping[str, object]) -> str:
    """A row's first fields, for a message."""
    return ", ".join(repr(name) for name in islice(row, 20)) or "none"
