"""How sure a model was of its tokens: the probability of the likeliest token at each position of a reply.

The paper's Figure 5 (arXiv 2412.11231) is a density of it over positions; its code looks at the first five positions
alone. A mean over a reply cannot show what the figure is about, so the positions are counted in bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BINS = 20
"""Bins of equal width from 0 to 1."""
FIRST = 5
"""The positions that the paper's code looks at."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """Of one reply: the mean over its positions, and how many of them lie in each bin, the first five apart."""

    mean: float
    first: tuple[int, ...]
    rest: tuple[int, ...]

    @classmethod
    def of(cls, probabilities: Sequence[float]) -> Confidence | None:
        """Of the positions of a reply in order; None of none."""
        if not probabilities:
            return None
        mean = sum(probabilities) / len(probabilities)
        return cls(mean, _counts(probabilities[:FIRST]), _counts(probabilities[FIRST:]))


def _counts(probabilities: Sequence[float]) -> tuple[int, ...]:
    counts = [0] * BINS
    for probability in probabilities:
        counts[min(int(probability * BINS), BINS - 1)] += 1
    return tuple(counts)
