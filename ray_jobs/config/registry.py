"""Kinds of things, found by name: shipped ones, those of installed packages, and those that a text names by its place.

A package adds a kind by an entry point of the group `slm_evolve.WHAT`, such as `slm_evolve.strategies`; a configuration
may also name one as `package.module:Class`. What is shipped is named by text too, so that a table of kinds imports
none of them.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache, cached_property, reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from evolve.masking import mask_text
from ray_jobs.errors import ConfigError

GROUP = "slm_evolve"
Found = TypeVar("Found")


class UnknownKind(ValueError):
    """There is no kind of this name; the message says which there are."""


class Registry(Generic[Found]):
    """Things of one sort, by name.

    `what` names them, in the plural; `wanted` is "module:Class", of which each must be an instance or, with `classes`,
    a subclass. Without a name, `default` is meant.
    """

    def __init__(
        self, what: str, wanted: str, shipped: Mapping[str, str], default: str = "", classes: bool = False
    ) -> None:
        self.what, self.shipped, self.default = what, shipped, default
        self._wanted, self._classes = wanted, classes

    @cached_property
    def base(self) -> type[Any]:
        """What all of them are instances or subclasses of."""
        found: type[Any] = at(self._wanted)
        return found

    def names(self) -> list[str]:
        """All names, the shipped ones first."""
        return [*self.shipped, *(name for name in self._added() if name not in self.shipped)]

    def find(self, name: object) -> Found:
        """The thing of this name. Raises UnknownKind; ConfigError where it cannot be loaded or is something else."""
        if isinstance(name, str) and ":" in name:
            return self._loaded(name, f"{self.what} {mask_text(name)}")
        added = self._added()
        if not isinstance(name, str) or (name not in self.shipped and name not in added):
            raise UnknownKind(self._expected(str(name)))
        if name in self.shipped:
            self._refuse_two(name, added.get(name, []))
            shipped: Found = at(self.shipped[name])
            return shipped
        self._refuse_two(name, added[name][1:], added[name][0])
        point = added[name][0]
        return self._loaded(point.value, f"{self.what} {name} of {_package(point)}")

    def _added(self) -> dict[str, list[EntryPoint]]:
        """The entry points of our group, by name."""
        found: dict[str, list[EntryPoint]] = {}
        for point in _entry_points(tuple(sys.path), f"{GROUP}.{self.what}"):
            found.setdefault(point.name, []).append(point)
        return found

    def _refuse_two(self, name: str, others: list[EntryPoint], first: EntryPoint | None = None) -> None:
        if others:
            owners = ["slm-evolve" if first is None else _package(first), *map(_package, others)]
            raise ConfigError(f"{self.what} {name}: {' and '.join(owners)} each bring one of this name; uninstall one")

    def _loaded(self, place: str, called: str) -> Found:
        try:
            found: Found = at(place)
        except Exception as error:  # whatever a plug-in's own code raises
            told = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{called}: {place} cannot be loaded: {told}{raised_at(error)}") from error
        fits = isinstance(found, type) and issubclass(found, self.base) if self._classes else None
        if not (isinstance(found, self.base) if fits is None else fits):
            expected = f"a class under {self._wanted}" if self._classes else f"a value of {self._wanted}"
            raise ConfigError(f"{called}: expected {expected} at {place}, found {type(found).__name__}")
        return found

    def _expected(self, name: str) -> str:
        names = self.names()
        near = get_close_matches(name, names, 1, 0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"expected one of {', '.join(map(repr, names))}, got {mask_text(name)!r}{hint}"


@cache
def _entry_points(_: tuple[str, ...], group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, as far as packages can be found in this path."""
    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, _package(point))))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value.partition(":")[0]


def at(place: str) -> Any:
    """What "package.module:Name" stands for."""
    module, _, name = place.partition(":")
    return reduce(getattr, name.split("."), import_module(module))


def raised_at(error: Exception) -> str:
    """The file and line of a plug-in that raised `error`; empty where it was none of its own lines."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    last = lines[-1]
    return "" if last.filename == __file__ else f" ({last.filename}:{last.lineno})"
