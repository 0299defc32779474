"""Progress that people can watch: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
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
WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class PoolLine:
    """One pool at one moment, ready to be shown."""

    name: str
    done: int
    total: int
    in_flight: int
    tokens_per_second: float
    rejected_count: int
    eta_seconds: float | None
    state: str


class Display(ABC):
    """Shows snapshots of the monitor. `totals` are the rows that each pool has before it."""

    def __init__(self, totals: Mapping[str, int], rows: int, already: int, queues: Queues = NO_QUEUES) -> None:
        self._totals, self._rows, self._already, self._queues = totals, rows, already, queues
        self._history: deque[tuple[float, Snapshot]] = deque()

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
        now = time.monotonic()
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
                self._totals.get(name, 0),
                self._queues.words(name, snapshot),
            )
            for name, pool in snapshot.pools.items()
        ]

    def summary(self, snapshot: Snapshot) -> str:
        """What is committed of the whole run."""
        committed = snapshot.committed
        kept = committed.by_status()
        outcomes = ", ".join(f"{count:,} {status}" for status, count in sorted(kept.items()))
        done = self._already + committed.rows
        return f"committed {done:,} of {self._rows:,} rows in {snapshot.parts:,} new parts" + (
            f" (records: {outcomes})" if outcomes else ""
        )


class LineDisplay(Display):
    """A line a pool every ten seconds, for logs."""

    _shown = 0.0

    def observe(self, snapshot: Snapshot) -> None:
        """Print the lines when ten seconds have gone by."""
        lines = self.lines(snapshot)
        if time.monotonic() - self._shown < LINE_SECONDS:
            return
        self._shown = time.monotonic()
        for line in lines:
            print(
                f"{line.name}: {line.done:,}/{line.total:,} rows, {line.in_flight:,} in flight, "
                f"{line.tokens_per_second:,.0f} tokens/s, {line.rejected_count:,} turned down, "
                f"ETA {clock(line.eta_seconds)}, {line.state}",
                flush=True,
            )
        print(self.summary(snapshot), flush=True)


class LiveDisplay(Display):
    """A table of bars that is drawn again in place."""

    def __init__(
        self, totals: Mapping[str, int], rows: int, already: int, console: Console, queues: Queues = NO_QUEUES
    ) -> None:
        super().__init__(totals, rows, already, queues)
        self._live = Live(console=console, refresh_per_second=4, transient=False)

    def observe(self, snapshot: Snapshot) -> None:
        """Draw all pools."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("pool", "", "rows", "in flight", "tokens/s", "turned down", "ETA", "state"):
            table.add_column(heading, justify="left" if heading in ("pool", "", "state") else "right")
        for line in self.lines(snapshot):
            table.add_row(
                line.name,
                ProgressBar(max(line.total, 1), line.done, width=24),
                f"{line.done:,}/{line.total:,}",
                f"{line.in_flight:,}",
                f"{line.tokens_per_second:,.0f}",
                f"{line.rejected_count:,}",
                clock(line.eta_seconds),
                line.state,
            )
        self._live.update(Group(table, self.summary(snapshot)))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        """Stop drawing and leave the last table."""
        self._live.stop()


def make_display(totals: Mapping[str, int], rows: int, already: int, queues: Queues = NO_QUEUES) -> Display:
    """Bars where standard output is a terminal, lines elsewhere."""
    if sys.stdout.isatty():
        return LiveDisplay(totals, rows, already, Console(), queues)
    return LineDisplay(totals, rows, already, queues)


def clock(seconds: float | None) -> str:
    """Seconds as 1:02:03; "-" where they are not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _line(name: str, pool: PoolState, before: PoolState, seconds: float, total: int, queue: str) -> PoolLine:
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
        rejected_count=sum(count for outcome, count in stats.outcomes.items() if outcome != KEPT),
        eta_seconds=0.0 if left <= 0 else left / rate if rate > 0 else None,
        state=_state(pool, left, queue),
    )


def _state(pool: PoolState, left: int, queue: str) -> str:
    if left <= 0:
        return "done"
    if pool.ready and not pool.in_flight and "full" not in queue:
        return f"{pool.ready} ready, waiting for rows"
    parts = [f"{pool.ready} ready"] if pool.ready else []
    parts += [f"{pool.loading} loading"] if pool.loading else []
    parts += [queue] if queue else []
    return ", ".join(parts) or "waiting for its first actor"
