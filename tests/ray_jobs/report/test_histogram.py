"""Binned distributions against the same values in full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.output.column import Scale
from ray_jobs.report.histogram import Histogram

SCALE = Scale(0, 2, 50)
VALUES = st.lists(st.floats(-1, 4), min_size=1, max_size=60)


def histogram(values: list[float]) -> Histogram:
    histogram = Histogram(SCALE)
    histogram.add(np.array(values, dtype=np.float64))
    return histogram


@given(VALUES, st.floats(0, 1))
def test_quantiles_are_exact_to_a_bin(values: list[float], share: float) -> None:
    found = histogram(values).quantile(share)
    assert found is not None
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    inside = [value for value in (found, exact) if SCALE.low <= value <= SCALE.high]
    if len(inside) == 2:  # beyond the bounds a bin reaches as far as the values
        assert abs(found - exact) <= SCALE.width * 1.001
    assert min(values) <= found <= max(values)


@given(VALUES, VALUES)
def test_merging_is_adding(first: list[float], second: list[float]) -> None:
    merged, whole = histogram(first), histogram([*first, *second])
    merged.merge(histogram(second))
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.n == len(first) + len(second)
    assert merged.mean == pytest.approx(np.mean([*first, *second]))
    assert (merged.minimum, merged.greatest) == (min(*first, *second), max(*first, *second))


@given(VALUES, st.integers(1, 60))
def test_bars_hold_every_value(values: list[float], bars: int) -> None:
    edges, shares = histogram(values).density(SCALE.low, SCALE.high, bars)
    assert shares.sum() == pytest.approx(1)
    assert len(edges) == len(shares) + 1


def test_what_is_no_number_is_undefined() -> None:
    item = histogram([1.0, float("nan"), float("inf")])
    assert (item.n, item.undefined, item.mean) == (1, 2, 1.0)
    assert Histogram(SCALE).quantile(0.5) is None
    assert Histogram(SCALE).mean is None
