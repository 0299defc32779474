"""How pools are named, in displays, metrics, sessions and Ray's dashboard."""

from __future__ import annotations

RESPOND, SCORE = "respond", "score"


def pool_name(evolver: str) -> str:
    """The name of an evolver's pool in displays, metrics and Ray's dashboard."""
    return f"evolve_{evolver}"
