"""The ways in which instructions were evolved, as short phrases that can be counted (arXiv 2412.11231, Section 3.3).

The paper lets a model cut key phrases out of the methods that Auto Evol-Instruct lists, as `judging.key_phrases` does.
Here a rule does, which costs nothing and is the same for every evolver: what stands before the first colon, dash,
bracket or full stop of a method, without stop words, in lower case, up to five words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from math import exp, lgamma

from evolve.strategies.elimination import STOP_WORDS

MAX_WORDS = 5
_END = re.compile(r"[:;.!?(\[\n]|\s[-–—]\s")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def phrases(trajectory: str | None, operator: str | None) -> list[str]:
    """The distinct phrases of one record, in order: those of its methods, or its operator where it has none.

    `trajectory` is JSON as `evolve.strategies.auto_evol.trajectory_json` writes it, or as another strategy does,
    without methods.
    """
    methods, _ = described(trajectory)
    if methods is None:
        return [operator] if operator else []
    return list(dict.fromkeys(phrase for method in methods if (phrase := key_phrase(method))))


def described(trajectory: str | None) -> tuple[list[str] | None, str]:
    """The methods and the plan of a record's trajectory; None and "" where its strategy has none."""
    found = json.loads(trajectory) if trajectory else {}
    return found.get("methods"), found.get("plan", "")


def key_phrase(method: str) -> str:
    """The key phrase of one method; empty where it holds nothing but stop words and signs."""
    head = next((part for part in _END.split(method) if _WORD.search(part)), "")
    words = [word for word in _WORD.findall(head.lower()) if word not in STOP_WORDS]
    return " ".join(words[:MAX_WORDS])


def expected_distinct(counts: Mapping[str, int], sample: int) -> float:
    """How many distinct phrases `sample` draws without replacement from these counts hold on average.

    Rarefaction (Hurlbert 1971): sum over phrases of 1 - C(N - n, m) / C(N, m). More text gives more distinct phrases,
    so groups of different size compare at the same sample, not by their counts. `sample` is at most N.
    """
    total = sum(counts.values())
    return sum(1 - _missed(total, count, sample) for count in counts.values())


def smallest(groups: Iterable[Mapping[str, int]]) -> int:
    """The sample at which groups compare: all phrases of the smallest group that has any."""
    return min((total for group in groups if (total := sum(group.values()))), default=0)


def _missed(total: int, count: int, sample: int) -> float:
    """C(total - count, sample) / C(total, sample)."""
    if sample > total - count:
        return 0.0
    left = total - count
    return exp(lgamma(left + 1) - lgamma(left - sample + 1) - lgamma(total + 1) + lgamma(total - sample + 1))
