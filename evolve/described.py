"""Values as texts for fingerprints, in which a field that came later shows only where it changes results.

Such a field's metadata hold, under BEFORE, the value under which results are as they were without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

BEFORE = "before"


def described(value: Any) -> str:
    """The repr of a dataclass without fields that came later and stand at their BEFORE."""
    return f"{type(value).__name__}({', '.join(f'{name}={item!r}' for name, item in _telling(value))})"


def plain(value: Any) -> Any:
    """As `dataclasses.asdict`, without such fields."""
    if is_dataclass(value):
        return {name: plain(item) for name, item in _telling(value)}
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


def _telling(value: Any) -> Iterator[tuple[str, Any]]:
    for item in fields(value):
        found = getattr(value, item.name)
        if BEFORE not in item.metadata or found != item.metadata[BEFORE]:
            yield item.name, found
