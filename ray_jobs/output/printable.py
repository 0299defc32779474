"""Texts of data, models, servers and files as they may be shown: what a terminal would obey is written out instead."""

from __future__ import annotations

import re
from typing import Any

_OBEYED = (
    r"\x00-\x08\x0b-\x1f\x7f"  # C0 but for tab and newline, and DEL
    r"\x80-\x9f"  # C1
    r"\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides and isolates
    r"\ud800-\udfff"  # halves of characters, which cannot be written: names of files in no known encoding
)
_CONTROL = re.compile(f"[{_OBEYED}]")


def printable(text: str) -> str:
    """`text` with control characters, all but newline and tab, as Python writes them: `\\x1b`, `\\u202e`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_values(value: Any) -> Any:
    """The same value with each text in it printable, at any depth of lists and mappings."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable_values(name): printable_values(item) for name, item in value.items()}
        case list():
            return [printable_values(item) for item in value]
        case _:
            return value
