"""Progress that people can watch: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from ray_jobs.output.schema import KEPT
from ray_jobs.pipeline.monitor import PoolState, Snapshot
from ray_jobs.pipeline.queues import Queues

NO_QUEUES = Queues()
LINE_SECONDS = 10.0
FIRST_SILENT_SECONDS, SILENT_SECONDS = 30.0, 300.0
"""After how long a log hears that nothing has changed: each time twice as long, up to five minutes after the last."""
WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class Work:
    """What is to be done: rows of each pool, rows of the run, those that were done `already`, what feeds which pool.

    `ready_last_time` is after how many seconds of an earlier session each pool had its first actor.
    """

    totals: Mapping[str, int]
    rows: int
    already: int
    queues: Queues = NO_QUEUES
    ready_last_time: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PoolLine:
    """One pool at one moment, ready to be shown."""

    name: str
    done: int
    total: int
    in_flight: int
    tokens_per_second: float
    not_kept: int
    eta_seconds: float | None
    state: str


class Display(ABC):
    """Shows snapshots of the monitor."""

    def __init__(self, work: Work, clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self._clock, self._began = work, clock, clock()
        self._history: deque[tuple[float, Snapshot]] = deque()

    @property
    def elapsed(self) -> float:
        """The seconds since the display began."""
        return self._clock() - self._began

    @abstractmethod
    def observe(self, snapshot: Snapshot) -> None:
        """Show the state of all pools."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  # not every display holds something
        """Leave the last state on screen."""

    def lines(self, snapshot: Snapshot) -> list[PoolLine]:
        """One line a pool, with rates over the last minute."""
        now = self._clock()
        self._history.append((now, snapshot))
        while len(self._history) > 2 and now - self._history[0][0] > WINDOW_SECONDS:
            self._history.popleft()
        then, before = self._history[0]
        return [
            _line(
                name,
                pool,
                before.pools.get(name, PoolState()),
                now - then,
                self._work.totals.get(name, 0),
                self._work.queues.words(name, snapshot),
                self._work.ready_last_time.get(name),
            )
            for name, pool in snapshot.pools.items()
        ]

    def summary(self, snapshot: Snapshot) -> str:
        """What is committed of the whole run."""
        committed = snapshot.committed
        kept = committed.by_status()
        outcomes = ", ".join(f"{count:,} {status}" for status, count in sorted(kept.items()))
        done = self._work.already + committed.rows
        return f"committed {done:,} of {self._work.rows:,} rows in {snapshot.parts:,} new parts" + (
            f" (records: {outcomes})" if outcomes else ""
        )


class LineDisplay(Display):
    """A line for each pool of which something has changed, every ten seconds, for logs.

    Each has the time of day, the time since the run's engines were started, and an estimate of what is left.
    """

    def __init__(
        self,
        work: Work,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], datetime] = datetime.now,
    ) -> None:
        super().__init__(work, clock)
        self._time_of_day = time_of_day
        self._shown: dict[str, str] = {}
        self._looked, self._changed = -LINE_SECONDS, -LINE_SECONDS
        self._silent = FIRST_SILENT_SECONDS

    def observe(self, snapshot: Snapshot) -> None:
        """Print what has changed, when ten seconds have gone by."""
        lines, elapsed = self.lines(snapshot), self.elapsed
        if elapsed - self._looked < LINE_SECONDS:
            return
        self._looked = elapsed
        new = [line for line in lines if self._shown.get(line.name) != _facts(line)]
        self._shown = {line.name: _facts(line) for line in lines}
        if new:
            self._changed, self._silent = elapsed, FIRST_SILENT_SECONDS
            for line in new:
                rest = f"{line.tokens_per_second:,.0f} tokens/s, ETA {in_clock(line.eta_seconds)}"
                self._print(f"{line.name}: {_facts(line)}, {rest}")
            left = [line.eta_seconds for line in lines]
            eta = None if None in left else max((seconds or 0.0 for seconds in left), default=None)
            self._print(f"{self.summary(snapshot)}, ETA {in_clock(eta)}")
        elif elapsed - self._changed >= self._silent:
            self._silent += min(self._silent, SILENT_SECONDS)
            self._print(f"nothing has changed for {in_clock(elapsed - self._changed)}{_awaited(snapshot, lines)}")

    def _print(self, text: str) -> None:
        print(f"{self._time_of_day():%Y-%m-%d %H:%M:%S} +{in_clock(self.elapsed)} {text}", flush=True)


def _awaited(snapshot: Snapshot, lines: Sequence[PoolLine]) -> str:
    """What holds a run up that has hardly begun: pools with rows left and no actor that is ready."""
    left = {line.name: snapshot.pools[line.name] for line in lines if line.done < line.total}
    loading = [name for name, pool in left.items() if pool.loading and not pool.ready]
    absent = [name for name, pool in left.items() if not (pool.loading or pool.ready)]
    words = [f"the models of {', '.join(loading)} to load"] if loading else []
    words += [f"the first actor of {', '.join(absent)}"] if absent else []
    return f"; waiting for {' and '.join(words)}" if words else ""


def _facts(line: PoolLine) -> str:
    return f"{line.done:,}/{line.total:,} rows, {line.in_flight:,} in flight, {line.not_kept:,} not kept, {line.state}"


class LiveDisplay(Display):
    """A table of bars that is drawn again in place."""

    def __init__(self, work: Work, console: Console) -> None:
        super().__init__(work)
        self._live = Live(console=console, refresh_per_second=4, transient=False)

    def observe(self, snapshot: Snapshot) -> None:
        """Draw all pools."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("pool", "", "rows", "in flight", "tokens/s", "not kept", "ETA", "state"):
            table.add_column(heading, justify="left" if heading in ("pool", "", "state") else "right")
        for line in self.lines(snapshot):
            table.add_row(
                line.name,
                ProgressBar(max(line.total, 1), line.done, width=24),
                f"{line.done:,}/{line.total:,}",
                f"{line.in_flight:,}",
                f"{line.tokens_per_second:,.0f}",
                f"{line.not_kept:,}",
                in_clock(line.eta_seconds),
                line.state,
            )
        self._live.update(Group(table, f"{in_clock(self.elapsed)} {self.summary(snapshot)}"))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        """Stop drawing and leave the last table."""
        self._live.stop()


def in_clock(seconds: float | None) -> str:
    """Seconds as 1:02:03; "-" where they are not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _line(
    name: str, pool: PoolState, before: PoolState, seconds: float, total: int, queue: str, last_time: float | None
) -> PoolLine:
    stats, past = pool.stats, before.stats
    tokens = stats.prompt_tokens + stats.completion_tokens - past.prompt_tokens - past.completion_tokens
    rate = (stats.done - past.done) / seconds if seconds > 0 else 0.0
    left = total - stats.done
    return PoolLine(
        name=name,
        done=stats.done,
        total=total,
        in_flight=pool.in_flight,
        tokens_per_second=tokens / seconds if seconds > 0 else 0.0,
        not_kept=sum(count for outcome, count in stats.outcomes.items() if outcome != KEPT),
        eta_seconds=0.0 if left <= 0 else left / rate if rate > 0 else None,
        state=_state(pool, left, queue, last_time),
    )


def _state(pool: PoolState, left: int, queue: str, last_time: float | None) -> str:
    if left <= 0:
        return "done"
    if pool.ready and not pool.in_flight and "full" not in queue:
        return f"{pool.ready} ready, waiting for rows"
    parts = [f"{pool.ready} ready"] if pool.ready else []
    parts += [f"{pool.loading} loading"] if pool.loading else []
    parts += [queue] if queue else []
    words = ", ".join(parts) or "waiting for its first actor"
    if pool.ready or last_time is None:
        return words
    return f"{words} (ready after {in_clock(last_time)} last time)"
