"""What a task tells while it is done, for whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class End:
    """The last thing that is heard: what the work came to."""

    result: Any


async def heard(work: Callable[[Callable[[Any], None]], Awaitable[Any]]) -> AsyncIterator[Any]:
    """What `work` tells by the function that it is given, as it tells it, and an End. Raises what it raises.

    The work ends when nobody listens any more.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def run() -> None:
        try:
            queue.put_nowait(End(await work(queue.put_nowait)))
        except Exception as error:  # whoever listens is to raise it
            queue.put_nowait(error)

    task = asyncio.get_running_loop().create_task(run())
    try:
        while True:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            yield item
            if isinstance(item, End):
                return
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
