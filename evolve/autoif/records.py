"""What the steps of AutoIF hand on, and what they reject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evolve.sandbox.records import CheckResult

Step = Literal["augment", "verify", "cross_validate", "back_translate", "nli", "query", "respond", "quality"]
Kind = Literal["instruction", "reply", "function", "case", "back_translation", "query", "response"]

Check = Callable[[str, Sequence[str]], Sequence[CheckResult]]
"""Runs a function's source on inputs: one result an input, in order. Never raises for what the function does."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that a step rejected: what it is, its text, and the name of the rule with its particulars."""

    step: Step
    kind: Kind
    reason: str
    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """An example answer, and whether it follows the instruction."""

    input: str
    expected: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """One model-written verification function and the cases that came with it."""

    function: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class ScoredFunction:
    """A function and the share, in [0, 1], of the kept cases on which it gives the expected verdict."""

    source: str
    accuracy: float


@dataclass(frozen=True, slots=True)
class Quality:
    """A response's score from 1 to 10, and its mean under the judge's probabilities, where somebody told them."""

    score: int
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A completion's text, and the probabilities of the answers that were asked for, where the engine tells them."""

    text: str
    truncated: bool
    probabilities: tuple[float, ...] | None = None
