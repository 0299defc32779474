"""Positions counted by the probability of their likeliest token."""

from __future__ import annotations

import pytest

from evolve.confidence import BINS, Confidence


def test_the_first_five_positions_are_counted_apart() -> None:
    found = Confidence.of([0.0, 0.049, 0.05, 1.0, 0.999, 0.5, 0.51])
    assert found is not None
    assert found.mean == pytest.approx(0.444)
    assert found.first == (2, 1, *[0] * (BINS - 3), 2)
    assert found.rest == (*[0] * 10, 2, *[0] * 9)
    assert Confidence.of([]) is None


def test_a_short_reply_has_no_rest() -> None:
    found = Confidence.of([0.3, 0.3])
    assert found is not None
    assert (sum(found.first), sum(found.rest)) == (2, 0)
