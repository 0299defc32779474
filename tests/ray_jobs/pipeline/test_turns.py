"""Rows wait for a place in the order in which they came, and no place is lost."""

from __future__ import annotations

import asyncio

from ray_jobs.pipeline.gate import Turns


async def holders(turns: Turns, count: int) -> tuple[list[int], int]:
    """The order in which `count` rows that come one after another get a place, and how many had one at once."""
    order: list[int] = []
    inside = most = 0

    async def row(number: int) -> None:
        nonlocal inside, most
        async with turns:
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(row(number) for number in range(count)))
    return order, most


def test_rows_come_in_order_and_no_more_than_there_are_places() -> None:
    order, most = asyncio.run(holders(Turns(3), 50))
    assert order == list(range(50))
    assert most == 3


def test_a_place_given_to_one_that_was_cancelled_goes_on() -> None:
    async def cancel_at(woken: bool) -> list[int]:
        turns = Turns(1)

        async def wait() -> None:
            async with turns:
                pass

        async with turns:
            waiter = asyncio.create_task(wait())
            await asyncio.sleep(0)
            if not woken:
                waiter.cancel()
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        return (await asyncio.wait_for(holders(turns, 4), 5))[0]

    assert asyncio.run(cancel_at(woken=True)) == asyncio.run(cancel_at(woken=False)) == [0, 1, 2, 3]
