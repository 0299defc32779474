"""What judges are shown and what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from evolve.flow import Flow
from evolve.records import Failed, Instruction, Rejected, Sampling, Usage

VERDICT_TOKENS = 32
"""Enough for a verdict alone."""
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=VERDICT_TOKENS)
"""A judge's draw: the same text is judged the same way, and a verdict is short."""


@dataclass(frozen=True, slots=True)
class Side:
    """A task with its answer."""

    task: Instruction
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: one side, or in a comparison two."""

    side: Side
    other: Side | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that could be read: its values by column."""

    values: Mapping[str, str | int | float | bool | list[str] | None]
    usage: Usage = field(default_factory=Usage)


Finding = Judged | Rejected | Failed
"""How judging one case ends. Rejected: the judge replied, and the reply says nothing; its text is kept."""


class Question(Protocol):
    """Something that a judge can be asked about a case."""

    def fingerprint(self) -> str:
        """A digest of everything that changes verdicts: templates and sampling."""
        ...

    def ask(self, case: Case, rng: Random) -> Flow[Finding]:
        """Ask about one case. Never raises for what a reply holds."""
        ...
