"""Watching an execution from the driver: showing its state to whoever observes it, and stopping in good order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from ray.data._internal.execution.execution_callback import ExecutionCallback

from ray_jobs.output.schema import FAILED
from ray_jobs.pipeline.monitor import Monitor, Snapshot
from ray_jobs.runner.signals import StopRequest
from ray_jobs.runner.watchdog import Watchdog, movement

POLL_SECONDS = 0.5
END_SECONDS = 60.0
"""How long a stream that is given up may take to cancel its tasks."""
IDLE_SECONDS = 2.0
"""How long no row may be under way before a stop is over: by then each actor has told what it began."""
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


class Observer(Protocol):
    """Whoever is to know how a run stands: twice a second while it lasts."""

    def observe(self, snapshot: Snapshot) -> None:
        """Take the state of all pools."""


def watch(
    execution: Execution,
    monitor: Monitor,
    observers: Sequence[Observer],
    watchdog: Watchdog,
    request: StopRequest,
    hold: Callable[[], None],
    first: Collection[str] = (),
) -> None:
    """Watch until the execution ends. Raises what it raised, Stalled, TooManyRestarts or Stopped.

    `first` are the pools in which rows begin, if the execution is to end as soon as none of these is under way. The
    observers also see the state after its end, which is nothing for the watchdog any more. `hold` raises where the run
    has lost its output to another one.
    """
    stop: Stop | None = None
    while execution.is_alive():
        hold()
        snapshot = monitor.snapshot()
        for observer in (*observers, watchdog):
            observer.observe(snapshot)
        request.in_flight = sum(pool.in_flight for pool in snapshot.pools.values())
        if request.why:
            stop = stop or Stop(watchdog.limits.drain_seconds, first=first)
            # again and again, for a monitor that has started anew does not know
            monitor.stop()
        if stop and stop.is_over(snapshot):
            break
        execution.join(POLL_SECONDS)
    request.in_flight = 0
    last = monitor.snapshot()
    for observer in observers:
        observer.observe(last)
    if execution.error:
        raise execution.error
    request.check()


class Stop:
    """A stop under way: rows in flight may finish for `drain_seconds`; with none, `quiet_seconds` are waited.

    Between two pools, and until they are written, rows are in flight nowhere. Where every row that has begun in the
    pools `first` is committed, or none has begun, the stop is soon over.
    """

    def __init__(
        self,
        drain_seconds: float,
        quiet_seconds: float = QUIET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        first: Collection[str] = (),
    ) -> None:
        self._clock, self._quiet_seconds, self._first = clock, quiet_seconds, first
        self._since = clock()
        self._idle: float | None = None
        self._deadline = self._since + drain_seconds
        self._last: Any = None

    def is_over(self, snapshot: Snapshot) -> bool:
        """Whether to wait no longer."""
        now = self._clock()
        if not nothing_under_way(snapshot, self._first):
            self._idle = None
        elif self._idle is None:
            self._idle = now
        elif now - self._idle >= IDLE_SECONDS:
            return True
        state = (movement(snapshot), any(pool.in_flight for pool in snapshot.pools.values()))
        if state != self._last:
            self._last, self._since = state, now
        quiet = not state[1] and now - self._since > self._quiet_seconds
        return quiet or now > self._deadline


def nothing_under_way(snapshot: Snapshot, first: Collection[str]) -> bool:
    """Whether every row that has begun in one of the pools `first` is committed, for all that is known.

    Rows that begin again after an actor's death count twice, so that it may be False for good, but not True too early.
    """
    if not first or any(pool.in_flight for pool in snapshot.pools.values()):
        return False
    begun = sum(snapshot.pools[name].stats.began for name in first if name in snapshot.pools)
    # seeds that could not be read are committed and pass no pool
    unread = sum(count for (_, _, status, _), count in snapshot.committed.outcomes.items() if status == FAILED)
    return not begun or begun <= snapshot.committed.rows - unread
