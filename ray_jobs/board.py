"""Where a run's actors tell how far they are, and hear that the run is to stop.

One Ray actor without CPUs, `BoardActor`, keeps the latest figures of every worker; each worker sends its own once a
second from a thread, so a row costs no message. `Board` is the handle that travels to workers.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from ray_jobs.manifest import Entry
from ray_jobs.rounds import RoundRow
from ray_jobs.rows import KEPT
from ray_jobs.tally import Tally

REPORT_SECONDS = 1.0


@dataclass
class Figures:
    """What one worker has done since it started. Rows count as in flight from `began` to `done`."""

    began: int = 0
    done: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ready_at: float | None = None
    outcomes: Counter[str] = field(default_factory=Counter)

    def spend(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count tokens that a model read and wrote."""
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def count(self, rounds: Iterable[RoundRow]) -> None:
        """Count how rounds left this stage: kept, or the reason why not."""
        self.outcomes.update(KEPT if one["status"] == KEPT else one["reason"] for one in rounds)

    def add(self, other: Figures) -> None:
        """Take another worker's figures in."""
        self.began += other.began
        self.done += other.done
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.outcomes.update(other.outcomes)


@dataclass
class PoolState:
    """One pool as the board knows it. `loading` and `ready` count workers heard from lately; `starts` counts all."""

    figures: Figures = field(default_factory=Figures)
    starts: int = 0
    loading: int = 0
    ready: int = 0
    in_flight: int = 0
    busy_seconds: float = 0.0


@dataclass
class Snapshot:
    """The whole board at one moment. `committed` is what this execution has committed so far."""

    pools: dict[str, PoolState]
    committed: Tally
    parts: int
    stopping: bool


class BoardActor:
    """The state behind `Board`. `pools` gives the pools an order in displays."""

    def __init__(self, pools: Iterable[str]) -> None:
        self._workers: dict[str, dict[str, tuple[Figures, float, float]]] = {pool: {} for pool in pools}
        self._committed = Tally()
        self._parts: set[str] = set()
        self._stopping = False

    def report(self, pool: str, worker: str, figures: Figures) -> bool:
        """Keep a worker's latest figures; answers whether the run is to stop."""
        known = self._workers.setdefault(pool, {})
        first = known[worker][2] if worker in known else time.monotonic()
        known[worker] = (figures, time.monotonic(), first)
        return self._stopping

    def committed(self, name: str, tally: Tally) -> None:
        """Count a committed part once."""
        if name not in self._parts:
            self._parts.add(name)
            self._committed.add(tally)

    def stop(self) -> None:
        """From now on workers are told to take no more rows."""
        self._stopping = True

    def snapshot(self) -> Snapshot:
        """Everything, summed by pool."""
        pools = {name: _pool_state(workers.values()) for name, workers in self._workers.items()}
        return Snapshot(pools, self._committed, len(self._parts), self._stopping)


def _pool_state(workers: Iterable[tuple[Figures, float, float]]) -> PoolState:
    state, now = PoolState(), time.monotonic()
    for figures, heard, first in workers:
        state.starts += 1
        state.figures.add(figures)
        if figures.ready_at is not None:
            state.busy_seconds += heard - first
        if now - heard < 10 * REPORT_SECONDS:
            state.ready += figures.ready_at is not None
            state.loading += figures.ready_at is None
            state.in_flight += figures.began - figures.done
    return state


@dataclass(frozen=True)
class Board:
    """The board as workers and the driver use it."""

    actor: Any

    @classmethod
    def create(cls, pools: Iterable[str]) -> Board:
        """Start a board on this cluster; it ends with the driver's job."""
        return cls(ray.remote(num_cpus=0, max_restarts=-1)(BoardActor).remote(list(pools)))

    def committed(self, entry: Entry) -> None:
        """Tell of a committed part; does not wait."""
        self.actor.committed.remote(entry.name, entry.tally)

    def stop(self) -> None:
        """Ask all workers to take no more rows."""
        ray.get(self.actor.stop.remote())

    def snapshot(self) -> Snapshot:
        """The state of all pools."""
        snapshot: Snapshot = ray.get(self.actor.snapshot.remote())
        return snapshot


class Meter:
    """A worker's figures, which a thread sends to the board once a second. `stopped` is the board's latest answer."""

    def __init__(self, board: Board, pool: str) -> None:
        self.figures = Figures()
        self.stopped = False
        self._board, self._pool, self._worker = board, pool, uuid.uuid4().hex
        self._thread = threading.Thread(target=self._keep, name="meter", daemon=True)
        self._thread.start()

    def ready(self) -> None:
        """The model is loaded."""
        self.figures.ready_at = time.time()

    @contextmanager
    def rows(self, count: int) -> Iterator[Figures]:
        """Count `count` rows as in flight while the block runs, and as done after it."""
        self.figures.began += count
        yield self.figures
        self.figures.done += count

    def row(self) -> AbstractContextManager[Figures]:
        """Count one row, as `rows` does."""
        return self.rows(1)

    def report(self) -> None:
        """Send the figures now and hear whether to stop. Actors do so after a block, for it may be their last."""
        # without the board the display misses this worker for a moment; its work goes on
        with suppress(RayError):
            self.stopped = ray.get(self._board.actor.report.remote(self._pool, self._worker, self.figures))

    def _keep(self) -> None:
        while True:
            self.report()
            time.sleep(REPORT_SECONDS)
