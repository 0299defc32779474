"""The protocol holds in everything that two drivers can do, and each of its rules is needed for that."""

from __future__ import annotations

import pytest

from tests.ray_jobs.takeover.model import RETRACTING, RULES, search


@pytest.mark.parametrize("second", [(1, 2), (1,)])
def test_two_drivers_lose_nothing_whatever_happens(second: tuple[int, ...]) -> None:
    states = search([(1,), second])
    assert isinstance(states, int), states
    assert states > 2_000


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "void"])
def test_without_any_rule_something_is_lost(rule: str) -> None:
    assert isinstance(search([(1,), (1, 2)], frozenset({rule})), str)


@pytest.mark.parametrize("retracting", [{1}, {0}, {0, 1}])
def test_rows_that_one_driver_retracts_are_neither_lost_for_the_other_nor_left(retracting: set[int]) -> None:
    states = search([(1, 2), (1,)], retracting=retracting)
    assert isinstance(states, int), states


def test_records_of_retracted_rows_have_to_be_taken_out() -> None:
    assert "marked as finished" in str(search([(1, 2), (1,)], frozenset({RETRACTING}), retracting={1}))


@pytest.mark.chaos_long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rule", [None, "void"])
def test_three_drivers(rule: str | None) -> None:
    found = search([(1,), (1,), (1,)], frozenset({rule} if rule else ()))
    assert isinstance(found, str if rule else int), found
