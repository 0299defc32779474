"""What ends a run that gets nowhere: nothing moves, or a pool's engines keep dying."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import Stalled, TooManyRestarts
from ray_jobs.pipeline.monitor import PoolState, Snapshot


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
    clock: Callable[[], float] = time.monotonic
    _last: Any = None
    _since: float = 0.0
    _working: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The rows of each pool when they last grew, and its starts then."""

    def observe(self, snapshot: Snapshot) -> None:
        """Raise Stalled or TooManyRestarts."""
        for name, pool in snapshot.pools.items():
            restarts = self._restarts(name, pool)
            if restarts > self.limits.engine_restarts:
                why = f"the last one ended with {pool.cause}" if pool.cause else "the log of its actors may say why"
                raise TooManyRestarts(
                    f"pool {name}: its actors were started again {restarts} times and finished no row in between, "
                    f"limits.engine_restarts allows {self.limits.engine_restarts}; {why}"
                )
        moved, now = movement(snapshot), self.clock()
        if moved != self._last:
            self._last, self._since = moved, now
        if now - self._since > self.limits.stall_seconds:
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


def movement(snapshot: Snapshot) -> tuple[Any, ...]:
    """What changes whenever a run gets on."""
    # an actor that starts counts: a machine has come, and its model may take as long to load again
    pools = snapshot.pools.values()
    done = ((pool.starts, pool.ready, pool.stats.completion_tokens, pool.stats.done) for pool in pools)
    return (snapshot.parts, *done)
