"""Compares an evolver with another on the seeds that both had, with intervals by a bootstrap over seeds.

All records of a seed hang together, so seeds are what is drawn: `RESAMPLES` times as many seeds as there are, with
replacement, always the same draws. An interval is that from the 2.5th to the 97.5th percentile of what the draws give
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_jobs.report.histogram import Floats
from ray_jobs.report.seeds import SeedSums

RESAMPLES = 1000
TRUSTED_SEEDS = 20
"""With fewer seeds than this a percentile interval is known to be too narrow."""
KEPT_SHARE, TOKENS = "kept_share", "tokens_per_kept"


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` in one measure over the same seeds. Round None stands for all rounds together.

    `low` and `high` bound the 95 % interval; None where there are fewer than two seeds.
    """

    measure: str
    round: int | None
    seeds: int
    first: float
    second: float
    low: float | None
    high: float | None

    @property
    def difference(self) -> float:
        """How much greater the first is."""
        return self.first - self.second

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def common_seeds(sums: SeedSums, first: str, second: str) -> int:
    """How many of the sampled seeds have an outcome from both evolvers."""
    ended = sums.ended.sum(axis=1)
    return int(((ended[sums.evolvers.index(first)] > 0) & (ended[sums.evolvers.index(second)] > 0)).sum())


def compare(sums: SeedSums, first: str, second: str, number: int | None) -> list[Difference]:
    """The differences between two evolvers in all measures that both have, in round `number` or over all rounds.

    A measure's value for a seed is the mean over the seed's kept records; its difference is the mean over the seeds
    of which both have one. The share of kept records and the tokens of a kept record are ratios of sums over seeds.
    """
    rounds = slice(None) if number is None else sums.rounds.index(number)
    pair = [sums.evolvers.index(first), sums.evolvers.index(second)]

    def of(array: Floats) -> Floats:
        chosen = array[pair][:, rounds]
        both: Floats = chosen.sum(axis=tuple(range(1, chosen.ndim - 1)))
        return both

    ended = of(sums.ended)
    common = (ended > 0).all(axis=0)
    if not common.any():
        return []
    kept, tokens = of(sums.kept)[:, common], of(sums.tokens)[:, common]
    columns = [(KEPT_SHARE, kept, ended[:, common]), (TOKENS, tokens, kept)]
    for name in sums.sums:
        total, count = of(sums.sums[name])[:, common], of(sums.counts[name])[:, common]
        both = (count > 0).all(axis=0)
        columns.append((name, np.where(both, total / np.maximum(count, 1), 0), np.broadcast_to(both, total.shape)))
    return _differences(number, [column for column in columns if (column[2].sum(axis=1) > 0).all()])


def _differences(number: int | None, columns: Sequence[tuple[str, Floats, Floats]]) -> list[Difference]:
    """Ratios of the sums of two arrays (2, seeds), the numerators and the denominators, as differences."""
    if not columns:
        return []
    above = np.stack([column[1] for column in columns]).astype(np.float64)
    below = np.stack([column[2] for column in columns]).astype(np.float64)
    drawn = _draws(above, below)
    found = []
    for index, (name, numerators, denominators) in enumerate(columns):
        first, second = (above[index].sum(axis=1) / below[index].sum(axis=1)).tolist()
        seeds = int(((numerators != 0) | (denominators > 0)).any(axis=0).sum())
        low, high = _bounds(drawn[:, index]) if seeds > 1 else (None, None)
        found.append(Difference(name, number, seeds, first, second, low, high))
    return found


def _draws(above: Floats, below: Floats) -> Floats:
    """The difference of both ratios in each resample, (resamples, measures); not finite where one has no value."""
    seeds, rng = above.shape[2], np.random.default_rng(0)
    drawn = np.empty((RESAMPLES, len(above)))
    with np.errstate(divide="ignore", invalid="ignore"):
        for number in range(RESAMPLES):
            weights = np.bincount(rng.integers(0, seeds, seeds), minlength=seeds).astype(np.float64)
            ratios = (above @ weights) / (below @ weights)
            drawn[number] = ratios[:, 0] - ratios[:, 1]
    return drawn


def _bounds(drawn: Floats) -> tuple[float | None, float | None]:
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return None, None
    low, high = np.percentile(finite, [2.5, 97.5]).tolist()
    return low, high
