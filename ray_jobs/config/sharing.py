"""Which evolvers may share an engine: those that differ in nothing but their adapters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Protocol

from ray_jobs.config.engine_kinds import EngineKind


class Evolver(Protocol):
    """What may share its engine, or use another's: that of the evolver which `shares` names."""

    @property
    def engine(self) -> EngineKind:
        """What it loads, or would load."""
        ...

    @property
    def shares(self) -> str | None:
        """The evolver whose pool and loaded engine it uses."""
        ...

    @property
    def model_fields_set(self) -> Set[str]:
        """What was given."""
        ...


def same_model(engines: Iterable[EngineKind]) -> bool:
    """Whether all serve one model."""
    return len({engine.model for engine in engines}) == 1


def check_sharing(evolvers: Mapping[str, Evolver]) -> None:
    """Refuse evolvers that cannot use another's engine. Raises ValueError, naming the field."""
    for name, evolver in evolvers.items():
        if evolver.shares is not None:
            _check_shared(evolvers, name, evolver.shares)


def _check_shared(evolvers: Mapping[str, Evolver], name: str, other: str) -> None:
    place, evolver = f"evolvers.{name}.shares", evolvers[name]
    owners = [item for item, found in evolvers.items() if item != name and found.shares is None]
    if other not in owners:
        raise ValueError(f"{place}: expected an evolver with a pool of its own ({', '.join(owners)}), got {other}")
    if "pool" in evolver.model_fields_set:
        raise ValueError(f"{place}: the pool is that of {other}, expected no evolvers.{name}.pool")
    ours, theirs = (dict(item.engine) for item in (evolver, evolvers[other]))
    for field in ("kind", *sorted({*ours, *theirs} - {"adapter"})):
        if ours.get(field) != theirs.get(field):
            raise ValueError(f"{place}: engine.{field} differs from that of {other}; only the adapter may")
