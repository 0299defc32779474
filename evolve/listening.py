"""What a task tells of its work while it is done, and how urgent the work is, without every function passing it on.

Whoever has somebody wait for a result sets these in the task that makes it; tasks that this one starts inherit them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from evolve.records import Round

ROUND: ContextVar[Callable[[Round], None] | None] = ContextVar("round", default=None)
"""Is told how each round of a strategy ends, in order. Strategies that walk by `evolve_rounds` tell it."""

PIECE: ContextVar[Callable[[str], None] | None] = ContextVar("piece", default=None)
"""Is told each piece of a completion's text, by engines that can: together they are the text before it is cleaned."""

URGENCY: ContextVar[int] = ContextVar("urgency", default=5)
"""How urgent a completion is, as in RFC 9218: 0 is the most urgent, 7 the least, 5 is work in the background."""
URGENT = 3
"""The urgency of what a person waits for."""
