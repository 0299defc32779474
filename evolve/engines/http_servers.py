"""A client of several HTTP servers that answer alike: each request goes to one that has room, and on to others."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence

from evolve.engines.http_server import Answer, Cost, Gone, HttpServer

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds before a request is repeated: at first, and at most."""


def _nothing(_: object) -> tuple[int, int]:
    return 0, 0


class HttpServers:
    """Sends each request to the server that has most room for it, as far as its pace tells.

    A request is repeated `retries` times, with growing pauses or as a server asks. A server that is away is left alone
    for a while, and its requests go on to the others; while all are away it is as with one.
    """

    def __init__(self, servers: Sequence[HttpServer], retries: int) -> None:
        self.servers, self._retries = tuple(servers), retries
        self._waiting = deque[asyncio.Future[HttpServer]]()
        self._timer: asyncio.TimerHandle | None = None

    async def post(
        self,
        path: str,
        body: bytes,
        read: Callable[[bytes], Answer],
        cost: Cost = _nothing,
        only: HttpServer | None = None,
    ) -> Answer:
        """What `read` makes of a server's answer, or raises Odd for. `cost` tells what an answer took.

        Asks `only` that one, once, if it is given. Raises Refused, Gone, and Unreachable.
        """
        failed, moved = 0, 0
        while True:
            server = await self._turn(only)
            try:
                return await server.once(path, body, read, failed, cost)
            except Gone as gone:
                problem = gone
            finally:
                self._leave(server)
            if only:
                raise problem
            if moved < len(self.servers) - 1 and self._others(server):
                moved += 1
                continue
            failed += 1
            if failed > self._retries:
                raise problem
            await asyncio.sleep(_pause(failed) if problem.asked is None else problem.asked)

    async def close(self) -> None:
        """Close all connections."""
        for server in self.servers:
            await server.close()

    def _others(self, server: HttpServer) -> bool:
        now = time.monotonic()
        return any(other is not server and not other.pace.is_away(now) for other in self.servers)

    async def _turn(self, only: HttpServer | None) -> HttpServer:
        """Wait until a server has room, and begin with it."""
        server = only or (None if self._waiting else self._open(time.monotonic()))
        if server:
            server.pace.begin()
            return server
        turn: asyncio.Future[HttpServer] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._hand_out()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(turn.result())
            raise

    def _leave(self, server: HttpServer) -> None:
        server.pace.under_way -= 1
        if self._waiting:
            self._hand_out()

    def _open(self, now: float) -> HttpServer | None:
        if len(self.servers) == 1:
            return self.servers[0] if self.servers[0].pace.is_open(now) else None
        here = [server for server in self.servers if not server.pace.is_away(now)] or self.servers
        room = [server for server in here if server.pace.is_open(now)]
        return min(room, key=_load, default=None)

    def _hand_out(self) -> None:
        """Give those who wait their turns, as far as there is room, and look again when a pause is over."""
        now = time.monotonic()
        while self._waiting and (server := self._open(now)):
            turn = self._waiting.popleft()
            if not turn.done():
                server.pace.begin()
                turn.set_result(server)
        if self._waiting and not self._timer:
            later = [server.pace.reopens for server in self.servers if server.pace.reopens > now]
            if later:
                self._timer = asyncio.get_running_loop().call_later(min(later) - now, self._over)

    def _over(self) -> None:
        self._timer = None
        self._hand_out()


def _load(server: HttpServer) -> tuple[float, int]:
    # those that do as much take turns, so that each is soon seen to take its key
    return server.pace.under_way / server.pace.allowed, server.pace.begun


def _pause(failed: int) -> float:
    # spread, so that requests which failed together do not come again together
    seconds: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failed - 1))
    return seconds * random.uniform(0.75, 1)
