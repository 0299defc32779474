"""What a run has taken, in GPU-hours and money, and stopping it before that is more than it may.

An actor costs from its first word to the monitor to its last, so while it loads its model too. Not seen here, and not
counted, are machines that start, wait for work or shut down, and the half minute before a driver was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import BudgetSpent
from ray_jobs.output.run_files import Session
from ray_jobs.pipeline.monitor import PoolState, Snapshot, WorkerStats

HOUR = 3600.0
SETTLE_SECONDS = 15.0
"""What ending may take beyond `limits.drain_seconds`."""


@dataclass(frozen=True)
class Spending:
    """GPU-hours, and money at the pools' prices."""

    gpu_hours: float = 0.0
    money: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.gpu_hours + other.gpu_hours, self.money + other.money)

    @classmethod
    def of_actors(cls, stats: WorkerStats) -> Spending:
        """What a pool's actors have cost so far."""
        return cls(stats.gpu_seconds / HOUR, stats.price_seconds / HOUR)

    @classmethod
    def at_most(cls, pool: PoolConfig, actors: int, seconds: float) -> Spending:
        """What so many of a pool's actors cost in `seconds`, if they are on its dearest hardware."""
        hours = actors * seconds / HOUR
        return cls(max(shape.gpus for shape in pool.shapes) * hours, max(shape.price for shape in pool.shapes) * hours)


def spent_by(sessions: Iterable[Session]) -> Spending:
    """What earlier sessions wrote down."""
    stats = [pool for session in sessions for pool in session.pools.values()]
    return Spending(
        sum(float(stat.get("gpu_hours", 0)) for stat in stats), sum(float(stat.get("cost", 0)) for stat in stats)
    )


class Budget:
    """The budget of a run whose earlier sessions have spent `before`; `stop` is told once no more may be taken."""

    def __init__(
        self,
        limits: LimitsConfig,
        pools: Mapping[str, PoolConfig],
        before: Spending,
        stop: Callable[[BudgetSpent], None],
    ) -> None:
        self._allowed, self._pools, self._before, self._stop = limits.budget, pools, before, stop
        self._ending_seconds = limits.drain_seconds + SETTLE_SECONDS

    def check_start(self) -> None:
        """Raise BudgetSpent where what is left would not do for the pools at their least size to end in good order."""
        self._raise_beyond(self._before, self._ending({name: pool.bounds[0] for name, pool in self._pools.items()}))

    def shares(self, snapshot: Snapshot) -> dict[str, float]:
        """The share of each bound of the budget that all sessions have taken."""
        spent, allowed = self._spent(snapshot), self._allowed
        bounds = {"gpu_hours": (spent.gpu_hours, allowed.gpu_hours), "money": (spent.money, allowed.money)}
        return {name: taken / bound for name, (taken, bound) in bounds.items() if bound}

    def observe(self, snapshot: Snapshot) -> None:
        """Have the run stop once ending in good order, at worst, takes all that is left."""
        try:
            self._raise_beyond(
                self._spent(snapshot), self._ending({name: _living(state) for name, state in snapshot.pools.items()})
            )
        except BudgetSpent as beyond:
            self._stop(beyond)

    def _spent(self, snapshot: Snapshot) -> Spending:
        return sum((Spending.of_actors(state.stats) for state in snapshot.pools.values()), self._before)

    def _ending(self, actors: Mapping[str, int]) -> Spending:
        each = (
            Spending.at_most(self._pools[name], count, self._ending_seconds) for name, count in actors.items() if count
        )
        return sum(each, Spending())

    def _raise_beyond(self, spent: Spending, ending: Spending) -> None:
        for name, allowed, taken, rest in (
            ("gpu_hours", self._allowed.gpu_hours, spent.gpu_hours, ending.gpu_hours),
            ("money", self._allowed.money, spent.money, ending.money),
        ):
            if allowed is not None and taken + rest > allowed:
                raise BudgetSpent(
                    f"limits.budget.{name} allows {allowed:g}: {taken:.3f} are spent, and up to {rest:.3f} more may go "
                    "while rows in flight finish; what is finished is committed, and goes on under a larger budget"
                )


def _living(state: PoolState) -> int:
    return state.ready + state.loading
