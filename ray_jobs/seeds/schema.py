"""Whether the types of a Parquet file's columns can hold seeds."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from ray_jobs.seeds.fields import RowProblem
from ray_jobs.seeds.layouts import Layout

_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def children_of(schema: pa.Schema) -> dict[str, list[str]]:
    """The columns, each with the fields of its struct."""
    return {
        column.name: [inner.name for inner in column.type] if pa.types.is_struct(column.type) else []
        for column in schema
    }


def check_types(schema: pa.Schema, layout: Layout) -> list[str]:
    """The paths of which rows must be looked at: a conversation as text, or columns that may hold an input.

    Raises RowProblem where a column that must be text, or a conversation, has a type that is neither.
    """
    doubtful = list[str]()
    for part, path in layout.paths(children_of(schema)).items():
        type_ = _type_at(pa.struct(list(schema)), path)
        if type_ is None:
            raise RowProblem("schema", f"nothing is at {path!r} for the {part}")
        if part == "conversation":
            if not (_is(type_, _LISTS) or _is_text(type_) or pa.types.is_struct(type_)):
                raise RowProblem("schema", not_a_list(path, f"the type {type_}"))
            doubtful += [path] if _is_text(type_) else []
        elif part in layout.texts and not _is_text(type_, part != "instruction"):
            hint = f"; say seeds.columns.{part}: {path}.0 for its first" if _is(type_, _LISTS) else ""
            raise RowProblem("schema", f"column {path!r} has the type {type_}, expected text{hint}")
    return doubtful + [column.name for column in schema if layout.holds_text and _may_hold_input(column)]


def not_a_list(path: str, found: str) -> str:
    """The message for a column that cannot hold a conversation."""
    return f"column {path!r} has {found}, expected a list of turns"


def _may_hold_input(column: pa.Field) -> bool:
    type_ = column.type.value_type if _is(column.type, _LISTS) else column.type
    return bool(column.name.lower() == "input" or (pa.types.is_struct(type_) and type_.get_field_index("input") >= 0))


def _type_at(type_: pa.DataType, path: str) -> pa.DataType | None:
    """The type of what `value_at` would give for `path`."""
    if not path:
        return type_
    names = path.split(".")
    if pa.types.is_struct(type_):
        for length in range(len(names), 0, -1):
            place = type_.get_field_index(".".join(names[:length]))
            if place >= 0 and (found := _type_at(type_.field(place).type, ".".join(names[length:]))) is not None:
                return found
    elif _is(type_, _LISTS) and names[0].isdecimal():
        return _type_at(type_.value_type, ".".join(names[1:]))
    return None


def _is(type_: pa.DataType, tests: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(test(type_) for test in tests)


def _is_text(type_: pa.DataType, or_number: bool = False) -> bool:
    if isinstance(type_, pa.BaseExtensionType):
        return _is_text(type_.storage_type, or_number)
    held = type_.value_type if pa.types.is_dictionary(type_) else type_
    return _is(held, _TEXTS) or (or_number and not _is(held, (pa.types.is_nested,)))
