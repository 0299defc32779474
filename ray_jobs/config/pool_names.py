"""How pools are named, in displays, metrics, sessions and Ray's dashboard."""

from __future__ import annotations

RESPOND, SCORE = "respond", "score"
NLI, QUALITY = "nli", "quality"
_EVOLVER = "evolve_"


def pool_name(evolver: str) -> str:
    """The name of an evolver's pool in displays, metrics and Ray's dashboard."""
    return f"{_EVOLVER}{evolver}"


def is_evolver_pool(name: str) -> bool:
    """Whether a pool is an evolver's."""
    return name.startswith(_EVOLVER)
