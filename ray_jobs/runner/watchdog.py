"""What ends a run that gets nowhere: nothing moves, a pool's engines keep dying, or all that it does fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import EngineRefuses, PoolError, Stalled, TooManyRestarts
from ray_jobs.pipeline.monitor import PoolState, Snapshot

LOAD_TRIES = 2
"""How often a model may fail to load before its pool is given up."""
FIRST_OUTCOMES = 64
"""If so many of a pool's first outcomes, or as many as it asks for at once, all failed for one reason, it ends."""
NODE_SECONDS = 5.0
"""How long a pool may have no actor before nodes are looked at on which it could have one."""


@dataclass
class Watchdog:
    """Notices that nothing moves, that a pool's engines keep dying, or that it does nothing but fail.

    Only starts since a pool last finished a row count: over days machines come and go, and a pool that gets on with
    its rows between two losses is in order.
    """

    limits: LimitsConfig
    sizes: dict[str, int]
    """The greatest number of actors of each pool: that many starts are no restarts."""
    unschedulable: Callable[[], Sequence[str]] = tuple
    """Asks, when nothing moves, which pools want actors that no node can hold; one sentence each."""
    hopeless: Callable[[], Sequence[str]] = tuple
    """Asks, early, which pools want actors that no node can hold and none can come to hold; one sentence each."""
    proven: bool = False
    """Whether the output has kept records already: then what fails is the rows' fault, and they end as failed."""
    clock: Callable[[], float] = time.monotonic
    _began: float | None = None
    _looked_for_nodes: bool = False
    _last: Any = None
    _since: float = 0.0
    _working: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The rows of each pool when they last grew, and its starts then."""

    def observe(self, snapshot: Snapshot) -> None:
        """Raise Stalled, EngineRefuses, TooManyRestarts or PoolError."""
        for name, pool in snapshot.pools.items():
            check_loading(name, pool)
            if not self.proven:
                check_first_outcomes(name, pool)
            restarts = self._restarts(name, pool)
            if restarts > self.limits.engine_restarts:
                why = f"the last one ended with {pool.cause}" if pool.cause else "the log of its actors may say why"
                raise TooManyRestarts(
                    f"pool {name}: its actors were started again {restarts} times and finished no row in between, "
                    f"limits.engine_restarts allows {self.limits.engine_restarts}; {why}"
                )
        moved, now = movement(snapshot), self.clock()
        self._look_for_nodes(snapshot, now)
        if moved != self._last:
            self._last, self._since = moved, now
        if now - self._since > self.limits.stall_seconds:
            reasons = "; ".join(self.unschedulable()) or waiting_for(snapshot)
            raise Stalled(f"nothing has moved for {self.limits.stall_seconds:g} s; waiting for {reasons}")

    def _look_for_nodes(self, snapshot: Snapshot, now: float) -> None:
        """Once, when some pool has had no actor for a while."""
        if self._began is None:
            self._began = now
        if self._looked_for_nodes or now - self._began <= NODE_SECONDS:
            return
        if any(not pool.starts for pool in snapshot.pools.values()):
            self._looked_for_nodes = True
            if reasons := "; ".join(self.hopeless()):
                raise Stalled(f"{reasons}; there is no autoscaler that could bring one")

    def _restarts(self, name: str, pool: PoolState) -> int:
        done, starts = self._working.get(name, (0, self.sizes.get(name, 0)))
        if pool.stats.done > done:
            self._working[name] = pool.stats.done, max(starts, pool.starts)
            return 0
        return pool.starts - starts


def check_loading(name: str, pool: PoolState) -> None:
    """Raise EngineRefuses where a model cannot be used as it is configured, PoolError where it could not be loaded."""
    if pool.refused:
        raise EngineRefuses(pool.refused)
    if pool.not_loaded >= LOAD_TRIES and not pool.ready:
        raise PoolError(f"pool {name}: {pool.cause} (tried {pool.not_loaded} times)")


def check_first_outcomes(name: str, pool: PoolState) -> None:
    """Raise PoolError where all of a pool's first outcomes failed for one reason. Rules that turn down never count."""
    count = pool.stats.outcomes.total()
    if count < max(FIRST_OUTCOMES, pool.stats.slots) or len(pool.stats.outcomes) > 1:
        return
    for reason, failures in pool.stats.failures.items():
        if failures.count == count:
            raise PoolError(
                f"pool {name}: all of its first {count:,} outcomes failed for one reason, {reason}: {failures.example}"
            )


def waiting_for(snapshot: Snapshot) -> str:
    """What a run that does not move is waiting for, in words."""
    for name, pool in snapshot.pools.items():
        if pool.in_flight:
            return f"{pool.in_flight} rows in pool {name}"
        if pool.loading:
            return f"pool {name}: {pool.loading} actors are loading their model"
        if not pool.ready:
            return f"pool {name}: no actor has started; the cluster may lack the CPUs or GPUs that one asks for"
    return "the next block of rows; the cluster may lack a free CPU to read it with"


def movement(snapshot: Snapshot) -> tuple[Any, ...]:
    """What changes whenever a run gets on."""
    # an actor that starts counts: a machine has come, and its model may take as long to load again
    pools = snapshot.pools.values()
    done = ((pool.starts, pool.ready, pool.stats.completion_tokens, pool.stats.done) for pool in pools)
    return (snapshot.parts, *done)
