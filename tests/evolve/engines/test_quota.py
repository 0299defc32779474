"""Requests and tokens a minute, by a clock of the test's own."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

import pytest

from evolve.engines.quota import Allowance, Counts, Grant, Limits, paired
from evolve.errors import SettingError


def asked_for(limits: Limits, minutes: int, each: int = 0, wrong: int = 0) -> list[float]:
    """The moments at which two that ask all the time are granted a request, which takes `wrong` more tokens."""
    counts, now, granted, more = Counts(), 0.0, list[float](), 0
    while now < 60 * minutes:
        for _ in range(2):
            found = counts.grant("key", limits, 5, each, more, now)
            granted += [now] * found.requests
            more = wrong * found.requests
        now += 0.1
    return granted


def most_in_a_minute(moments: list[float]) -> int:
    return max(bisect_left(moments, start + 60) - place for place, start in enumerate(moments))


@pytest.mark.parametrize("limit", [7, 60, 600])
def test_no_minute_has_more_requests_than_the_limit_and_nearly_as_many(limit: int) -> None:
    moments = asked_for(Limits(requests=limit), 4)
    assert most_in_a_minute(moments) <= limit + (limit < 61)
    assert len(moments) > 4 * limit * 0.9


def test_tokens_count_as_said_and_as_they_turn_out() -> None:
    assert most_in_a_minute(asked_for(Limits(tokens=6000), 3, each=100)) <= 61
    assert most_in_a_minute(asked_for(Limits(tokens=6000), 3, each=100, wrong=100)) <= 31


def test_keys_count_apart() -> None:
    counts = Counts()
    assert counts.grant("a", Limits(requests=1), 1, 0, 0, 0.0) == Grant(1)
    assert counts.grant("b", Limits(requests=1), 1, 0, 0, 0.0) == Grant(1)
    assert counts.grant("a", Limits(requests=1), 1, 0, 0, 0.0) == Grant(0, pytest.approx(61))


class Told:
    """Grants two requests a time, and keeps what it is asked."""

    def __init__(self) -> None:
        self.asked = list[tuple[int, int, int]]()

    async def ask(self, key: str, limits: Limits, wanted: int, each: int, more: int) -> Grant:
        self.asked.append((wanted, each, more))
        await asyncio.sleep(0)
        return Grant(2)


def test_whoever_waits_asks_for_all_and_tells_what_replies_took() -> None:
    told = Told()

    async def ask() -> None:
        allowance = Allowance(told, "key", Limits(tokens=1000))
        said = await asyncio.gather(*(allowance.take(400) for _ in range(4)))
        assert said == [600] * 4
        allowance.used(600, 100, 100)
        allowance.used(600)
        await allowance.take(400)

    asyncio.run(ask())
    assert [asked[0] for asked in told.asked] == [1, 2, 1]
    assert told.asked[2] == (1, 100 + 475, -1000)


def test_without_limits_nobody_is_asked() -> None:
    told = Told()
    assert asyncio.run(Allowance(told, "key", Limits()).take(400)) == 0
    assert not told.asked


def test_urls_and_keys_go_together() -> None:
    assert paired(["a", "b"], ["K"]) == [("a", "K"), ("b", "K")]
    assert paired(["a"], ["K", "L"]) == [("a", "K"), ("a", "L")]
    assert paired(["a", "b"], ["K", "L"]) == [("a", "K"), ("b", "L")]
    with pytest.raises(SettingError, match="one for each of 2 URLs, got 3"):
        paired(["a", "b"], ["K", "L", "M"])
