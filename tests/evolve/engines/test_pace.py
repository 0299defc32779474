"""How many requests a server gets at once, by a clock of the test's own."""

from __future__ import annotations

import heapq
import itertools
import random

import pytest

from evolve.engines.pace import Pace


def run(
    pace: Pace, capacity: int, answers: int, seconds: float = 4.0, spread: float = 0.0, now: float = 0.0
) -> list[int]:
    """`answers` of a server that works on `capacity` at once, others waiting: how many were allowed after each."""
    draw, order = random.Random(1), itertools.count()
    pace.under_way = 0
    free_at, allowed = [now] * capacity, list[int]()
    under_way: list[tuple[float, int, float]] = []
    for _ in range(answers):
        while pace.is_open(now):
            pace.begin()
            starts = max(now, heapq.heappop(free_at))
            ends = starts + seconds * draw.uniform(1 - spread, 1 + spread)
            heapq.heappush(free_at, ends)
            heapq.heappush(under_way, (ends, next(order), now))
        now, _, began = heapq.heappop(under_way)
        pace.was_good(began, now)
        pace.under_way -= 1
        allowed.append(pace.allowed)
    return allowed


@pytest.mark.parametrize("spread", [0.0, 0.9])
def test_requests_that_only_wait_are_not_begun(spread: float) -> None:
    allowed = run(Pace(256), capacity=32, answers=20_000, spread=spread)
    assert all(20 <= number <= 64 for number in allowed[-5000:])


@pytest.mark.parametrize("spread", [0.0, 0.9])
def test_a_server_that_takes_all_keeps_all(spread: float) -> None:
    allowed = run(Pace(64), capacity=1000, answers=20_000, spread=spread)
    assert sum(allowed[-10_000:]) / 10_000 > 60


def test_a_server_that_grows_gets_more_again() -> None:
    pace = Pace(256)
    assert run(pace, capacity=16, answers=10_000)[-1] <= 64
    assert run(pace, capacity=1000, answers=60_000, now=1e5)[-1] >= 200


def test_quick_answers_are_never_worth_fewer_requests() -> None:
    assert set(run(Pace(256), capacity=32, answers=5000, seconds=0.02)) == {256}


def test_a_busy_server_gets_fewer_requests_at_once_and_more_again_later() -> None:
    pace = Pace(64)
    for _ in range(64):  # all of those that were under way
        pace.was_busy(began=1.0, now=2.0, pause=None)
    assert pace.allowed == 32
    for moment in range(3, 13):
        pace.was_busy(began=moment, now=moment, pause=None)
    assert pace.allowed == 1
    for _ in range(5000):
        pace.was_good(13.0, 13.1)
    assert pace.allowed == 64


def test_a_pause_closes_and_a_server_that_is_away_is_asked_by_one_after_a_while() -> None:
    pace = Pace(64)
    pace.was_busy(began=1.0, now=2.0, pause=3.0)
    assert not pace.is_open(4.9)
    assert pace.is_open(5.0)
    pace.was_away(began=6.0, now=7.0)
    pace.was_away(began=6.5, now=7.1)  # under way at the same time
    assert pace.is_away(7.9)
    assert not pace.is_away(8.0)
    pace.begin()
    assert pace.is_away(8.0)
    pace.was_away(began=8.0, now=8.0)
    pace.under_way -= 1
    assert pace.is_away(9.9)
    pace.was_good(10.0, 10.1)
    assert not pace.is_away(10.1)
