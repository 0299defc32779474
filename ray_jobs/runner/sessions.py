"""What one execution on an output has done and taken, as the monitor shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType

from ray_jobs.errors import StorageError
from ray_jobs.output.lease import Lease
from ray_jobs.output.run_files import NOW, READY_AFTER, Session
from ray_jobs.pipeline.monitor import Snapshot, WorkerStats

SAVE_SECONDS = 30.0


class SessionLog:
    """Writes the session of one execution down every half minute, so that a kill leaves its figures.

    `latest` is the state that was seen last.
    """

    def __init__(self, lease: Lease, execution: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease, self._execution, self._clock = lease, execution, clock
        self._started, self._began, self._saved = datetime.now(UTC), clock(), clock()
        self._ready = dict[str, float]()
        self.latest: Snapshot | None = None

    def observe(self, snapshot: Snapshot) -> None:
        """Take the state in, and write it down when that is due."""
        self.latest = snapshot
        for name, pool in snapshot.pools.items():
            if pool.ready:
                self._ready.setdefault(name, round(self._clock() - self._began, 1))
        if self._clock() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the session as it was seen last, if the store takes it."""
        self._saved = self._clock()
        # figures about the run, which must neither end it nor keep its watch waiting
        with suppress(StorageError):
            if self.latest:
                session = session_of(self._lease.number, self._started, self.latest, self._ready)
                session.save(self._lease.store, self._execution)


def session_of(
    number: int,
    started_at: datetime,
    snapshot: Snapshot,
    ready_after: Mapping[str, float] = MappingProxyType({}),
) -> Session:
    """The session as the monitor shows it now; what it has cost.

    `ready_after` is after how many seconds each pool had its first actor.
    """
    seconds = (datetime.now(UTC) - started_at).total_seconds()
    stats = {
        name: {
            "seconds": round(pool.busy_seconds, 1),
            "actor_starts": pool.starts,
            "rows": pool.stats.done,
            "prompt_tokens": pool.stats.prompt_tokens,
            "completion_tokens": pool.stats.completion_tokens,
            "replies_given_again": pool.stats.given_again,
            NOW: {
                "loading": pool.loading,
                "ready": pool.ready,
                "in_flight": pool.in_flight,
                "slots": pool.stats.slots,
                "cause": pool.cause,
            },
            **({READY_AFTER: ready_after[name]} if name in ready_after else {}),
            **_spending(pool.stats),
        }
        for name, pool in snapshot.pools.items()
    }
    return Session(number, started_at.isoformat(), round(seconds, 1), snapshot.committed.rows, stats)


def _spending(stats: WorkerStats) -> dict[str, float]:
    return {
        "held_seconds": round(stats.held_seconds, 1),
        "gpu_hours": round(stats.gpu_seconds / 3600, 6),
        "cost": round(stats.price_seconds / 3600, 6),
    }
