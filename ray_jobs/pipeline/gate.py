"""A gate that rows pass together, or a few of them with nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Whoever wants to be alone goes first: others wait until it is through."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside, self._waiting, self._alone = 0, 0, False

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Be inside with any others."""
        async with self._changed:
            await self._changed.wait_for(lambda: not (self._alone or self._waiting))
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            await self._tell()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be inside alone, once all others have left."""
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: not (self._alone or self._inside))
                self._alone = True
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            self._alone = False
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
