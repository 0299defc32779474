"""Records as people look at them: as text, and as a notebook's HTML. Whatever is in a record is shown, not obeyed."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from ray_jobs.output.columns import HEADLINES
from ray_jobs.output.printable import printable

TEXTS = ("seed_instruction", "input", "instruction", "reasoning", "output", "error")
"""The columns that people read. All others are figures of a record."""
TITLE = ("evolver", "round", "operator", "status", "reason")
NAME_STYLE = "text-align:left;vertical-align:top;white-space:nowrap"
TEXT_STYLE = "text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere"


@dataclass(frozen=True)
class Records(Sequence[dict[str, Any]]):
    """Records that a notebook shows one below the other: texts first, the other columns folded away."""

    held: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.held)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Records: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Records:
        """One record as a dictionary, or some of them."""
        return Records(self.held[index]) if isinstance(index, slice) else self.held[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.held)

    def __repr__(self) -> str:
        """The texts of each record, and its headlines."""
        return "\n\n".join(_text(record) for record in self.held) or "no records"

    def _repr_html_(self) -> str:
        return "".join(_card(record) for record in self.held) or "<p>no records</p>"


def lines(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a record holds, name and value as printable text: texts first; what is null or empty is left out."""
    first = [name for name in TEXTS if name in record]
    names = [*first, *(name for name in record if name not in TEXTS)]
    return [(printable(name), _shown(record[name])) for name in names if record[name] not in (None, "", [], {})]


def title(record: Mapping[str, Any]) -> str:
    """Who made a record, and its headlines: `small, round 2, deepen, IC-IFD 0.1234`."""
    parts = [f"round {record[name]}" if name == "round" else record[name] for name in TITLE if record.get(name)]
    figures = [(item.label, record.get(item.name), item) for item in HEADLINES]
    parts += [f"{label} {item.shown(value)}" for label, value, item in figures if value is not None]
    return printable(", ".join(str(part) for part in parts))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict):
        return printable(json.dumps(value, ensure_ascii=False, default=str))
    return printable(str(value))


def _text(record: Mapping[str, Any]) -> str:
    texts = [f"{name}: {value}" for name, value in lines(record) if name in TEXTS]
    return "\n".join([line for line in (title(record),) if line] + texts)


def _card(record: Mapping[str, Any]) -> str:
    found = lines(record)
    texts = _table(pair for pair in found if pair[0] in TEXTS)
    rest = [pair for pair in found if pair[0] not in TEXTS]
    folded = f"<details><summary>{len(rest)} other columns</summary>{_table(rest)}</details>" if rest else ""
    return f"<div><b>{html.escape(title(record))}</b>{texts}{folded}</div>"


def _table(pairs: Iterable[tuple[str, str]]) -> str:
    cells = (
        f'<tr><th style="{NAME_STYLE}">{html.escape(name)}</th><td style="{TEXT_STYLE}">{html.escape(value)}</td></tr>'
        for name, value in pairs
    )
    return f"<table>{''.join(cells)}</table>"
