"""Which records a selection keeps: those that rank first by a score.

Records rank by score, the best first, and records with the same score by their id in the order of its UTF-8 bytes.
So every ranking is strict, and a selection is the same however the records are stored or read. The functions
take one group's scores in bulk; NaN is no score, and a record without one is never ranked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Order = Literal["highest", "lowest"]
Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Top = int | Fraction
"""How many to keep: a number of records, or a share of those that have a score."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a ranking is cut off.

    Kept is what is better than `score`, and of the records with just this score the `wanted` whose ids come first,
    out of `equal` that there are.
    """

    score: float
    wanted: int
    equal: int

    @property
    def splits_a_tie(self) -> bool:
        """Whether ids decide: some records with the score of the cut are kept and some are not."""
        return self.wanted < self.equal


def how_many(top: Top, ranked: int) -> int:
    """How many of `ranked` records are kept. A share is rounded up, so that no group of any size loses everything."""
    return min(ranked, math.ceil(top * ranked) if isinstance(top, Fraction) else top)


def find_cut(scores: Scores, top: Top, order: Order) -> Cut | None:
    """Where to cut one group's ranking; None where nothing is kept. `scores` holds no NaN."""
    count = how_many(top, len(scores))
    if count < 1:
        return None
    place = count - 1 if order == "lowest" else len(scores) - count
    score = float(np.partition(scores, place)[place])
    return Cut(score, count - int(better(scores, score, order).sum()), int((scores == score).sum()))


def better(scores: Scores, score: float, order: Order) -> Mask:
    """Which of `scores` rank before a record that has `score`."""
    return scores > score if order == "highest" else scores < score


def first_ids(ids: pa.Array, count: int) -> pa.Array:
    """The first `count` ids in the order that decides between equal scores, sorted. Arrow compares UTF-8 bytes."""
    return ids.take(pc.array_sort_indices(ids)[:count])


def within(scores: Scores, low: float | None, high: float | None) -> Mask:
    """Which of `scores` lie between the two, both of which count; None is no bound."""
    inside = ~np.isnan(scores)
    if low is not None:
        inside &= scores >= low
    if high is not None:
        inside &= scores <= high
    return inside


def ranking(scores: Scores, ids: npt.NDArray[np.bytes_], order: Order) -> npt.NDArray[np.intp]:
    """The places of all records from the first in rank to the last. `ids` are in UTF-8."""
    places: npt.NDArray[np.intp] = np.lexsort((ids, -scores if order == "highest" else scores))
    return places
