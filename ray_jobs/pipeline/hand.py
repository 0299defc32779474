"""Which rows an actor has in hand, as the run's monitor knows it when the actor's process is gone without a word.

A process that the system kills, for want of memory or by a fault in a driver, notes nothing. Ray starts the actor again
in another process, which asks what the one before it had in hand. A machine that was lost is no fault of its rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import ray
from ray.exceptions import RayError

from ray_jobs.pipeline.monitor import ANSWER_SECONDS, Monitor

NO_WORDS = "the actor's process ended without a word, as one does that the system kills for want of memory"


class Hand:
    """The rows of one actor's blocks that are not done; of an object that is no actor it tells nobody."""

    def __init__(self, monitor: Monitor) -> None:
        here = ray.get_runtime_context()
        self._monitor, self._actor, self._node = monitor, here.get_actor_id(), here.get_node_id()
        self._rows, self._alone = set[int](), tuple[int, ...]()

    def left(self) -> list[int]:
        """What the process before this one had in hand, if it ended without saying so on a machine that lives."""
        if self._actor:
            with suppress(RayError):
                node, rows = ray.get(self._monitor.actor.left.remote(self._actor), timeout=ANSWER_SECONDS)
                return rows if rows and _lives(node) else []
        return []

    async def take(self, rows: Iterable[int]) -> None:
        """A block has come. Returns once the monitor knows."""
        self._rows.update(rows)
        await self._tell()

    def done(self, row: int) -> None:
        """A row is done; the monitor hears of it with the next block."""
        self._rows.discard(row)

    @asynccontextmanager
    async def alone(self, rows: Sequence[int]) -> AsyncIterator[None]:
        """No other rows are under way in the block."""
        self._alone = tuple(rows)
        await self._tell()
        try:
            yield
        finally:
            self._alone = ()
        await self._tell()

    def end(self) -> None:
        """The process ends, and has said which rows were under way."""
        if self._actor:
            with suppress(RayError):
                ray.get(self._monitor.actor.holds.remote(self._actor, self._node, []), timeout=ANSWER_SECONDS)

    async def _tell(self) -> None:
        if self._actor:
            # without the monitor one death is not known
            with suppress(RayError):
                await self._monitor.actor.holds.remote(self._actor, self._node, list(self._alone or self._rows))


def _lives(node: str) -> bool:
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return any(found["NodeID"] == node and found["Alive"] for found in nodes)
