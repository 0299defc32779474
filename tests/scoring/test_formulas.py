"""IFD, IC-IFD and the perplexity form: numbers, or None where they are undefined."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import Scores

losses = st.none() | st.floats(min_value=0, max_value=1e6)


def scores(q: float | None, a_given_q: float | None, a: float | None) -> Scores:
    return Scores(loss_q=q, loss_a_given_q=a_given_q, loss_a=a, n_q=3, n_a=4)


def test_values_by_hand() -> None:
    found = scores(2.0, 1.5, 3.0)
    assert found.ifd == 0.5
    assert found.ic_ifd == 0.25
    assert found.ifd_ppl == pytest.approx(math.exp(-1.5))


def test_a_zero_loss_divides_nothing() -> None:
    assert scores(2.0, 1.5, 0.0).ifd is None
    assert scores(2.0, 1.5, 0.0).ic_ifd is None
    assert scores(0.0, 1.5, 3.0).ic_ifd is None
    assert scores(0.0, 1.5, 3.0).ifd == 0.5
    assert scores(2.0, 0.0, 3.0).ifd == 0.0


def test_without_the_instructions_loss_ifd_is_still_there() -> None:
    assert scores(None, 1.5, 3.0).ifd == 0.5
    assert scores(None, 1.5, 3.0).ic_ifd is None


@given(losses, losses, losses)
def test_a_score_is_finite_or_none(q: float | None, a_given_q: float | None, a: float | None) -> None:
    found = scores(q, a_given_q, a)
    for value in (found.ifd, found.ic_ifd, found.ifd_ppl):
        assert value is None or math.isfinite(value)
