"""A gate that rows pass together, or a few of them with nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
