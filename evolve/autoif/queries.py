"""Which queries an instruction is paired with."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from evolve.autoif.records import Dropped


def usable_queries(queries: Sequence[str], characters: tuple[int, int]) -> tuple[list[str], list[Dropped]]:
    """Distinct queries whose length lies between the two bounds, both excluded, and the ones that fell."""
    kept: dict[str, None] = {}
    dropped: list[Dropped] = []
    for query in queries:
        if reason := _reason(query, characters, kept):
            dropped.append(Dropped("query", "query", reason, query, f"{len(query)} characters"))
        else:
            kept[query] = None
    return list(kept), dropped


def pair(queries: Sequence[str], count: int, rng: Random) -> list[str]:
    """`count` of the queries, or all where there are fewer, drawn without replacement."""
    return rng.sample(queries, min(count, len(queries)))


def _reason(query: str, characters: tuple[int, int], kept: dict[str, None]) -> str | None:
    if len(query) <= characters[0]:
        return "too_short"
    if len(query) >= characters[1]:
        return "too_long"
    return "duplicate" if query in kept else None
