"""When an evolution has failed, seen from its response: the rules and the rate of arXiv 2406.00770."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

OPENINGS = ("Understood", "Thank you", "What", "That is correct", "Great")
SURE = "Sure"
PLEASE_PROVIDE = "please provide"


def failure_rule(response: str) -> str | None:
    """The rule by which F(response) is 1, or None where it is 0.

    F is 1 when the response starts with one of `OPENINGS`, or with "Sure", and ends with "?", or when it contains
    "please provide", in any case, since a sentence may start with it. White space around the response is ignored.
    """
    text = response.strip()
    if text.endswith("?"):
        if text.startswith(OPENINGS):
            return "opening_question"
        if text.startswith(SURE):
            return "sure_question"
    return "please_provide" if PLEASE_PROVIDE in text.lower() else None


@dataclass(frozen=True, slots=True)
class Score:
    """How a method fared on the dev rows: `rate` is failed rows / all rows, in [0, 1]; `failures` counts by rule."""

    rate: float
    rows: int
    failures: dict[str, int]


def score(verdicts: Iterable[str | None]) -> Score:
    """Count verdicts, one a dev row: the name of what failed it, or None. Needs at least one."""
    rows = list(verdicts)
    failures = Counter(rule for rule in rows if rule is not None)
    return Score(failures.total() / len(rows), len(rows), dict(sorted(failures.items())))


def best_candidate(current: float, rates: Iterable[float | None]) -> int | None:
    """The place of the lowest rate where it is lower than `current`, else None. None stands for no candidate;
    of equal rates the first counts."""
    scored = [(rate, index) for index, rate in enumerate(rates) if rate is not None]
    lowest = min(scored, default=None)
    return lowest[1] if lowest is not None and lowest[0] < current else None
