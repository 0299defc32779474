"""How rows wait for one another: for a place beside the engine, and for those that must be alone with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """So many rows at once, in the order in which they came. Of one event loop.

    A row that leaves hands its place to the next. asyncio's semaphore looks through everybody that it woke and that
    has not run yet, which is quadratic where an engine answers many rows in one turn of the loop.
    """

    def __init__(self, places: int) -> None:
        self._free, self._waiting = places, deque[asyncio.Future[None]]()

    async def __aenter__(self) -> None:
        """Wait for a place."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Leave the place to the next."""
        self._leave()

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Gate:
    """Whoever wants to be alone goes first: others wait until it is through. Of one event loop."""

    def __init__(self) -> None:
        self._inside, self._waiting, self._alone = 0, 0, False
        self._changed = asyncio.Event()

    async def enter(self) -> None:
        """Be inside with any others, until `leave`. Costs next to nothing while nobody wants to be alone."""
        while self._alone or self._waiting:
            await self._changed.wait()
        self._inside += 1

    def leave(self) -> None:
        """Be inside no longer."""
        self._inside -= 1
        if self._waiting:
            self._tell()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be inside alone, once all others have left."""
        self._waiting += 1
        try:
            while self._alone or self._inside:
                await self._changed.wait()
            self._alone = True
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._alone = False
            self._tell()

    def _tell(self) -> None:
        # whoever waits looks again, and whoever comes later waits for the next change
        self._changed.set()
        self._changed = asyncio.Event()
