"""Watching an execution from the driver: display, stall watchdog, restart limit, and stopping in good order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ray_jobs.board import Board, Snapshot
from ray_jobs.config import LimitsConfig
from ray_jobs.errors import Stalled, Stopped, TooManyRestarts

POLL_SECONDS = 0.5
QUIET_SECONDS = 30.0
"""How long nothing may be in flight, after a stop, before what is left of the stream is given up."""


class Execution(threading.Thread):
    """Runs the stream in a thread of its own, so that the main thread can watch it and take signals."""

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__(name="execution", daemon=True)
        self._run_stream = run
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run the stream; whatever it raises waits in `error` for the main thread."""
        try:
            self._run_stream()
        except BaseException as error:  # re-raised by the watcher in the main thread
            self.error = error


class StopRequest:
    """Set by SIGINT or SIGTERM; a second one ends the process the usual way."""

    def __init__(self) -> None:
        self.name: str | None = None

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Take the two signals while the context lasts. Only the main thread may."""
        before = {one: signal.signal(one, self._take) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.name is not None:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


@dataclass
class Watchdog:
    """Notices that nothing moves, or that a pool's engines keep dying."""

    limits: LimitsConfig
    sizes: dict[str, int]
    """The greatest number of actors of each pool: that many starts are no restarts."""
    _last: Any = None
    _since: float = 0.0

    def check(self, snapshot: Snapshot) -> None:
        """Raise Stalled or TooManyRestarts."""
        for name, pool in snapshot.pools.items():
            restarts = pool.starts - self.sizes.get(name, 0)
            if restarts > self.limits.engine_restarts:
                raise TooManyRestarts(
                    f"pool {name}: its actors were started again {restarts} times, limits.engine_restarts allows "
                    f"{self.limits.engine_restarts}; see the log of its actors for why"
                )
        moved = _movement(snapshot)
        if moved != self._last:
            self._last, self._since = moved, time.monotonic()
        if time.monotonic() - self._since > self.limits.stall_seconds:
            raise Stalled(f"nothing has moved for {self.limits.stall_seconds:g} s; waiting for {waiting_for(snapshot)}")


def waiting_for(snapshot: Snapshot) -> str:
    """What a run that does not move is waiting for, in words."""
    for name, pool in snapshot.pools.items():
        if pool.in_flight:
            return f"{pool.in_flight} rows in pool {name}"
        if pool.loading:
            return f"pool {name}: {pool.loading} actors are loading their model"
        if not pool.ready:
            return f"pool {name}: no actor has started; the cluster may lack the CPUs or GPUs that one asks for"
    return "the next block of rows"


def watch(
    execution: Execution, board: Board, watchdog: Watchdog, request: StopRequest, show: Callable[[Snapshot], None]
) -> None:
    """Watch until the execution ends. Raises what it raised, Stalled, TooManyRestarts or Stopped."""
    stop: Stop | None = None
    while execution.is_alive():
        snapshot = board.snapshot()
        show(snapshot)
        watchdog.check(snapshot)
        if request.name and stop is None:
            board.stop()
            stop = Stop(watchdog.limits.drain_seconds)
        if stop and stop.is_over(snapshot):
            break
        execution.join(POLL_SECONDS)
    show(board.snapshot())
    if execution.error:
        raise execution.error
    if request.name:
        raise Stopped(f"stopped by {request.name}; what was finished is committed, and the same command goes on")


class Stop:
    """A stop under way: rows in flight may finish for `drain_seconds`; with none, `quiet_seconds` are waited."""

    def __init__(self, drain_seconds: float, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._deadline = time.monotonic() + drain_seconds
        self._quiet_seconds = quiet_seconds
        self._last: Any = None
        self._since = time.monotonic()

    def is_over(self, snapshot: Snapshot) -> bool:
        """Whether to wait no longer."""
        state = (_movement(snapshot), any(pool.in_flight for pool in snapshot.pools.values()))
        if state != self._last:
            self._last, self._since = state, time.monotonic()
        quiet = not state[1] and time.monotonic() - self._since > self._quiet_seconds
        return quiet or time.monotonic() > self._deadline


def _movement(snapshot: Snapshot) -> tuple[Any, ...]:
    pools = snapshot.pools.values()
    return (snapshot.parts, *((pool.figures.completion_tokens, pool.figures.done, pool.ready) for pool in pools))
