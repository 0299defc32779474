"""Watching an execution from the driver: display, stall watchdog, restart limit, and stopping in good order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.data._internal.execution.execution_callback import ExecutionCallback

from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import Stalled, TooManyRestarts
from ray_jobs.pipeline.monitor import Monitor, PoolState, Snapshot
from ray_jobs.runner.signals import StopRequest

POLL_SECONDS = 0.5
END_SECONDS = 60.0
"""How long a stream that is given up may take to cancel its tasks."""
QUIET_SECONDS = 30.0
"""How long nothing may be in flight, after a stop, before what is left of the stream is given up."""


class GivenUp(Exception):
    """Ends a stream that is not to be waited for. Goes no further than the thread that runs it."""


class EndOnRequest(ExecutionCallback):
    """Ends a stream from within its scheduling loop, which then cancels its tasks and stops its actors.

    Ray Data makes the instances itself, hence the request on the class; a process runs one stream at a time.
    """

    requested = threading.Event()

    def on_execution_step(self, executor: Any) -> None:  # noqa: ARG002
        """Raise GivenUp once that is wanted."""
        if self.requested.is_set():
            raise GivenUp


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

    def end(self) -> None:
        """Give the stream up if it still runs, and wait until its tasks are cancelled.

        Otherwise they would go on, and the thread would call upon a Ray that is shut down.
        """
        EndOnRequest.requested.set()
        self.join(END_SECONDS)
        EndOnRequest.requested.clear()


@dataclass
class Watchdog:
    """Notices that nothing moves, or that a pool's engines keep dying.

    Only starts since a pool last finished a row count: over days machines come and go, and a pool that gets on with
    its rows between two losses is in order.
    """

    limits: LimitsConfig
    sizes: dict[str, int]
    """The greatest number of actors of each pool: that many starts are no restarts."""
    unschedulable: Callable[[], Sequence[str]] = tuple
    """Asks, when nothing moves, which pools want actors that no node can hold; one sentence each."""
    _last: Any = None
    _since: float = 0.0
    _working: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The rows of each pool when they last grew, and its starts then."""

    def check(self, snapshot: Snapshot) -> None:
        """Raise Stalled or TooManyRestarts."""
        for name, pool in snapshot.pools.items():
            restarts = self._restarts(name, pool)
            if restarts > self.limits.engine_restarts:
                why = f"the last one ended with {pool.cause}" if pool.cause else "the log of its actors may say why"
                raise TooManyRestarts(
                    f"pool {name}: its actors were started again {restarts} times and finished no row in between, "
                    f"limits.engine_restarts allows {self.limits.engine_restarts}; {why}"
                )
        moved = _movement(snapshot)
        if moved != self._last:
            self._last, self._since = moved, time.monotonic()
        if time.monotonic() - self._since > self.limits.stall_seconds:
            reasons = "; ".join(self.unschedulable()) or waiting_for(snapshot)
            raise Stalled(f"nothing has moved for {self.limits.stall_seconds:g} s; waiting for {reasons}")

    def _restarts(self, name: str, pool: PoolState) -> int:
        done, starts = self._working.get(name, (0, self.sizes.get(name, 0)))
        if pool.stats.done > done:
            self._working[name] = pool.stats.done, max(starts, pool.starts)
            return 0
        return pool.starts - starts


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
    execution: Execution,
    monitor: Monitor,
    watchdog: Watchdog,
    request: StopRequest,
    show: Callable[[Snapshot], None],
    hold: Callable[[], None],
) -> None:
    """Watch until the execution ends. Raises what it raised, Stalled, TooManyRestarts or Stopped.

    `hold` raises where the run has lost its output to another one.
    """
    stop: Stop | None = None
    while execution.is_alive():
        hold()
        snapshot = monitor.snapshot()
        show(snapshot)
        watchdog.check(snapshot)
        if request.why:
            stop = stop or Stop(watchdog.limits.drain_seconds)
            # again and again, for a monitor that has started anew does not know
            monitor.stop()
        if stop and stop.is_over(snapshot):
            break
        execution.join(POLL_SECONDS)
    show(monitor.snapshot())
    if execution.error:
        raise execution.error
    request.check()


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
    # an actor that starts counts: a machine has come, and its model may take as long to load again
    pools = snapshot.pools.values()
    done = ((pool.starts, pool.ready, pool.stats.completion_tokens, pool.stats.done) for pool in pools)
    return (snapshot.parts, *done)
