"""Counts of values in narrow bins of fixed bounds: a distribution of any number of values in constant memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ray_jobs.output.column import Scale

Floats = npt.NDArray[np.float64]


class Histogram:
    """A distribution: counts by bin, and the exact number, sum, least and greatest of the finite values.

    `undefined` counts the others, NaN among them.
    """

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.counts = np.zeros(scale.bins, dtype=np.int64)
        self.n, self.undefined, self.total = 0, 0, 0.0
        self.minimum, self.greatest = np.inf, -np.inf

    def add(self, values: Floats) -> None:
        """Take values in."""
        finite = values[np.isfinite(values)]
        self.undefined += len(values) - len(finite)
        if not len(finite):
            return
        places = (np.clip(finite, self.scale.low, self.scale.high) - self.scale.low) / self.scale.width
        places = np.minimum(places.astype(np.int64), self.scale.bins - 1)
        self.counts += np.bincount(places, minlength=self.scale.bins)
        self.n += len(finite)
        self.total += float(finite.sum())
        self.minimum, self.greatest = min(self.minimum, float(finite.min())), max(self.greatest, float(finite.max()))

    def add_counts(self, counts: npt.NDArray[np.int64]) -> None:
        """Take values in of which only the counts by bin are known; each passes for the middle of its bin."""
        if not counts.any():
            return
        middles = self.scale.low + (np.arange(self.scale.bins) + 0.5) * self.scale.width
        there = middles[counts > 0]
        self.counts += counts
        self.n += int(counts.sum())
        self.total += float((counts * middles).sum())
        self.minimum, self.greatest = min(self.minimum, float(there[0])), max(self.greatest, float(there[-1]))

    def merge(self, other: Histogram) -> None:
        """Take the values of another histogram of the same scale in."""
        self.counts += other.counts
        self.n, self.undefined = self.n + other.n, self.undefined + other.undefined
        self.total += other.total
        self.minimum, self.greatest = min(self.minimum, other.minimum), max(self.greatest, other.greatest)

    @property
    def mean(self) -> float | None:
        """The exact mean; None without values."""
        return self.total / self.n if self.n else None

    def quantile(self, share: float) -> float | None:
        """The value below which `share` of all lies, exact to a bin's width; None without values."""
        if not self.n:
            return None
        passed = np.cumsum(self.counts)
        place = int(np.searchsorted(passed, share * self.n, side="left"))
        place = max(place, int(np.flatnonzero(self.counts)[0]))
        before = int(passed[place] - self.counts[place])
        low = self.scale.low + place * self.scale.width
        # values beyond the bounds lie in the end bins, which reach as far as they do
        low, high = (self.minimum if place == 0 else low), low + self.scale.width
        high = self.greatest if place == self.scale.bins - 1 else high
        inside = (share * self.n - before) / int(self.counts[place])
        return float(np.clip(low + inside * (high - low), self.minimum, self.greatest))

    def density(self, low: float, high: float, bars: int) -> tuple[Floats, Floats]:
        """Edges of about `bars` bars between two values, and the share of all values in each bar.

        Bars are whole bins wide, so that no value is split; what lies outside is left out.
        """
        first = int(np.clip(np.floor((low - self.scale.low) / self.scale.width), 0, self.scale.bins - 1))
        last = int(np.clip(np.ceil((high - self.scale.low) / self.scale.width), first + 1, self.scale.bins))
        step = max(1, round((last - first) / bars))
        starts = np.arange(first, last, step)
        shares = np.add.reduceat(self.counts[: min(starts[-1] + step, self.scale.bins)], starts) / max(self.n, 1)
        edges = self.scale.low + np.append(starts, starts[-1] + step) * self.scale.width
        return edges, shares
