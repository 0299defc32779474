"""Rankings against a brute-force oracle."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.select import Order, Top, better, find_cut, first_ids, how_many, ranking, within

SCORES = st.lists(st.sampled_from([-1.5, -0.0, 0.0, 0.25, 0.5, 3.0, float("inf")]) | st.floats(-2, 2), max_size=40)
TOPS = st.integers(1, 50) | st.fractions(min_value=Fraction(1, 1000), max_value=1)
ORDERS: st.SearchStrategy[Order] = st.sampled_from(["highest", "lowest"])


def oracle(scores: list[float], top: Top, order: Order) -> set[int]:
    """Who is kept when each record stands for its own id: a plain sort."""
    count = -(-top.numerator * len(scores) // top.denominator)
    sign = -1 if order == "highest" else 1
    count = min(len(scores), count if isinstance(top, Fraction) else top)
    return set(sorted(range(len(scores)), key=lambda place: (sign * scores[place], f"{place:03d}"))[:count])


@given(SCORES, TOPS, ORDERS)
def test_a_cut_keeps_what_a_plain_sort_keeps(scores: list[float], top: Top, order: Order) -> None:
    array = np.array(scores, dtype=np.float64)
    cut = find_cut(array, top, order)
    if cut is None:
        assert not scores
        return
    ties = pa.array([f"{place:03d}" for place in np.flatnonzero(array == cut.score)][::-1])
    equal = first_ids(ties, cut.wanted).to_pylist()
    kept = {*np.flatnonzero(better(array, cut.score, order)).tolist(), *map(int, equal)}
    assert kept == oracle(scores, top, order)
    assert cut.splits_a_tie == (cut.wanted < scores.count(cut.score))


@given(SCORES, ORDERS)
def test_a_ranking_is_a_plain_sort(scores: list[float], order: Order) -> None:
    ids = np.array([f"{place:03d}" for place in range(len(scores))], dtype=np.bytes_)
    sign = -1 if order == "highest" else 1
    expected = sorted(range(len(scores)), key=lambda place: (sign * scores[place], place))
    assert ranking(np.array(scores, dtype=np.float64), ids, order).tolist() == expected


@pytest.mark.parametrize(
    ("top", "ranked", "kept"),
    [
        (Fraction("25") / 100, 8, 2),
        (Fraction("25") / 100, 9, 3),
        (Fraction("0.1") / 100, 1, 1),
        # a float share would round 29 % of 100 up to 30
        (Fraction("29") / 100, 100, 29),
        (Fraction(1), 7, 7),
        (5, 3, 3),
        (5, 0, 0),
        (Fraction(1, 2), 0, 0),
    ],
)
def test_shares_are_rounded_up(top: Top, ranked: int, kept: int) -> None:
    assert how_many(top, ranked) == kept


def test_equal_scores_go_by_the_bytes_of_ids() -> None:
    ids = pa.array(["b", "\U00010000", "\uffff", "a", "B"])
    assert first_ids(ids, 5).to_pylist() == ["B", "a", "b", "\uffff", "\U00010000"]


def test_bounds_of_a_range_count_and_nan_is_outside() -> None:
    scores = np.array([0.1, 0.2, 0.3, np.nan])
    assert within(scores, 0.1, 0.2).tolist() == [True, True, False, False]
    assert within(scores, None, 0.1).tolist() == [True, False, False, False]
    assert within(scores, 0.3, None).tolist() == [False, False, True, False]
