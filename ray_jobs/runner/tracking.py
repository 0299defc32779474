"""A run's trackers, each in a thread of its own: one that raises, hangs or is not installed costs the run one line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from evolve.masking import mask_text
from ray_jobs.config.trackers import End, Moment, TrackedRun, Tracker, TrackerKind
from ray_jobs.errors import Stopped
from ray_jobs.pipeline.monitor import PoolState, Snapshot, one_line

LOG_SECONDS = 10.0
HANG_SECONDS = 60.0
"""How long a tracker may take over one call before it is left alone."""
FINISH_SECONDS = 15.0
"""How long all of them together may take at the end."""
THREAD = "tracker"
"""How the names of their threads begin."""
Figures = Callable[[Snapshot], Mapping[str, float]]
Step = Callable[[Tracker], None]


class Tracking:
    """Hands a run's figures to its trackers every ten seconds, and what happens to its pools at once.

    `figures` makes them of a snapshot; `totals` are the rows that are to pass each pool. To be entered before the run
    and left after it.
    """

    def __init__(
        self,
        kinds: Sequence[TrackerKind],
        run: TrackedRun,
        figures: Figures,
        totals: Mapping[str, int],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        finish_seconds: float = FINISH_SECONDS,
    ) -> None:
        self._finish_seconds = finish_seconds
        self._feeds = [_Feed(kind, run, clock) for kind in kinds]
        self._figures, self._totals, self._say, self._clock = figures, totals, say, clock
        self._began = clock()
        self._due = self._began
        self._known = set[tuple[str, Moment]]()
        self._latest: Snapshot | None = None
        self._handlers = [*logging.getLogger().handlers, *([logging.lastResort] if logging.lastResort else [])]

    def __enter__(self) -> Self:
        for handler in self._handlers:
            handler.addFilter(_of_the_run)
        for feed in self._feeds:
            feed.start()
        return self

    def observe(self, snapshot: Snapshot) -> None:
        """Take the state of all pools."""
        if not self._feeds:
            return
        self._latest = snapshot
        new = list(self._new(snapshot))
        if self._clock() >= self._due or any(moment == "ended" for _, moment in new):
            self._due = self._clock() + LOG_SECONDS
            self._log(snapshot)
        for pool, moment in new:
            self._give(_at(pool, moment, time.time_ns()))
        self._tell(HANG_SECONDS)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        end: End = "finished" if error is None else "stopped" if isinstance(error, Stopped) else "failed"
        if self._latest:
            self._log(self._latest)
        self._give(lambda tracker: tracker.finish(end))
        until = time.monotonic() + self._finish_seconds
        for feed in self._feeds:
            feed.end()
            feed.join(max(until - time.monotonic(), 0))
        self._tell(0.0)
        for handler in self._handlers:
            handler.removeFilter(_of_the_run)

    def _new(self, snapshot: Snapshot) -> Iterator[tuple[str, Moment]]:
        for name, pool in snapshot.pools.items():
            for moment in _moments(pool, self._totals.get(name, 0)):
                if (name, moment) not in self._known:
                    self._known.add((name, moment))
                    yield name, moment

    def _log(self, snapshot: Snapshot) -> None:
        figures = {**self._figures(snapshot), "evolve_seconds": self._clock() - self._began}
        self._give(lambda tracker: tracker.log(figures))

    def _give(self, step: Step) -> None:
        for feed in self._feeds:
            feed.give(step)

    def _tell(self, patience: float) -> None:
        for feed in self._feeds:
            if why := feed.trouble(patience):
                self._say(f"tracker {feed.kind}: {why}; it hears no more of this run, which goes on")


class _Feed(threading.Thread):
    """One tracker, and what it is still to be told. The thread ends with the process, whatever it waits for."""

    def __init__(self, kind: TrackerKind, run: TrackedRun, clock: Callable[[], float]) -> None:
        super().__init__(name=f"{THREAD} {kind.short_name}", daemon=True)
        self.kind = kind.short_name
        self._begin: Callable[[], Tracker] = partial(kind.start, run)
        self._clock = clock
        self._steps: SimpleQueue[Step | None] = SimpleQueue()
        self._since: float | None = clock()
        self._why, self._left_alone = "", False

    def give(self, step: Step) -> None:
        """Have the tracker told, after all that it is still to be told."""
        if not self._left_alone:
            self._steps.put(step)

    def end(self) -> None:
        """Have the thread end after that."""
        self._steps.put(None)

    def run(self) -> None:
        """Tell the tracker one thing after the other."""
        try:
            tracker = self._begin()
            while True:
                self._since = None
                step = self._steps.get()
                self._since = self._clock()
                if step is None:
                    break
                step(tracker)
            self._since = None
        except BaseException as error:  # whatever somebody else's library raises, SystemExit too
            self._why = mask_text(one_line(error))
            self._since = None

    def trouble(self, patience: float) -> str:
        """Why it is told no more, once: it has raised, or works on one thing for longer than `patience` seconds."""
        since = self._since
        why = self._why
        if since is not None and (waited := self._clock() - since) >= patience:
            why = f"has not answered for {waited:.0f} s"
        if not why or self._left_alone:
            return ""
        self._left_alone = True
        return why


def _of_the_run(record: logging.LogRecord) -> bool:
    """Whether something is logged by anyone but a tracker, whose library tells each try of a server that is away."""
    return not (record.threadName or "").startswith(f"{THREAD} ")


def _at(pool: str, moment: Moment, nanoseconds: int) -> Step:
    return lambda tracker: tracker.stage(pool, moment, nanoseconds)


def _moments(pool: PoolState, total: int) -> Iterator[Moment]:
    if pool.starts:
        yield "began"
        if pool.ready or pool.stats.done:
            yield "ready"
        if pool.stats.done >= total:
            yield "ended"
