"""Fields that have got another name or place: the old one is still read, and that is said."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

log = logging.getLogger(__name__)


def moved(raw: Any, places: Mapping[str, str], whose: str) -> Any:
    """The raw settings of `whose`, with what stands under an old name at its new place: "name", or "group.name".

    Raises ValueError where both are given.
    """
    if not isinstance(raw, Mapping) or not (old := [name for name in places if name in raw]):
        return raw
    new = {name: value for name, value in raw.items() if name not in places}
    for name in old:
        *group, last = places[name].split(".")
        inner = new
        if group:
            there = new.get(group[0], {})
            if not isinstance(there, Mapping):
                return raw
            inner = new[group[0]] = dict(there)
        if last in inner:
            raise ValueError(f"{name} is the old name of {places[name]}, which is given too")
        inner[last] = raw[name]
    say_once(tuple(f"{name} is now {places[name]}" for name in old), whose)
    return new


@cache
def say_once(changed: tuple[str, ...], whose: str) -> None:
    """Once a process: a configuration may hold many of a kind."""
    log.warning("%s: %s; the old name is still read", whose, ", ".join(changed))
