"""What a page is made of: sections of figures, tables, notes and examples. The template lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A picture in two shapes, as PNG: `wide` for a desktop, `narrow` for a phone. `alt` says what it shows."""

    name: str
    alt: str
    caption: str
    wide: bytes
    narrow: bytes
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True)
class Table:
    """Cells as text. All columns but the first `texts` hold numbers. A folded table opens on a click."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    folded: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Note:
    """A paragraph; `warning` makes it stand out, `command` is what a reader could run."""

    text: str
    command: str = ""
    warning: bool = False
    kind: Literal["note"] = "note"


@dataclass(frozen=True)
class Example:
    """A record in full: what it is, and labelled texts."""

    title: str
    facts: str
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Examples:
    """Examples side by side in columns under headings; `title` is what a reader opens, `opened` whether it is open."""

    title: str
    columns: Sequence[tuple[str, Sequence[Example]]]
    opened: bool = True
    kind: Literal["examples"] = "examples"


Block = Figure | Table | Note | Examples


@dataclass(frozen=True)
class Section:
    """A part of the page with an anchor."""

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
