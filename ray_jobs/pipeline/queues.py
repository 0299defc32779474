"""What waits before each pool: whether it has too little to do, or holds up the pools before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from ray_jobs.pipeline.monitor import PoolState, Snapshot
from ray_jobs.pipeline.stage import Pipeline


@dataclass(frozen=True)
class Queues:
    """The pools that are fed by other pools: `before` names those, `takes` is how many rows an actor works on at once.

    Pools that read the plan have no queue worth a word: all that is planned waits before them.
    """

    before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    takes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pipeline: Pipeline) -> Queues:
        """Those of a pipeline."""
        order, pools = pipeline.order(), pipeline.pools()
        before = {name: tuple(earlier) for earlier, names in pairwise(order) for name in names}
        # blocks keep the size in which they were read
        rows = max(pipeline.block_rows().values())
        return cls(before, {name: rows * pool.batches_in_flight for name, pool in pools.items()})

    def words(self, name: str, snapshot: Snapshot) -> str:
        """ "queue empty", "queue full (N rows)", or nothing.

        Empty: no row waits, and the actors could take more than they have: the pools before are slower. Full: as many
        rows wait as the actors work on at once: the pools before are faster.
        """
        pool = snapshot.pools[name]
        if name not in self.before or not pool.ready:
            return ""
        room = pool.ready * self.takes[name]
        waiting = self._waiting(name, pool, snapshot)
        if waiting >= room:
            return f"queue full ({waiting:,} rows)"
        return "queue empty" if waiting <= 0 and pool.in_flight < room else ""

    def _waiting(self, name: str, pool: PoolState, snapshot: Snapshot) -> int:
        # rows that begin again after an actor's death count twice: then it may be below 0
        return sum(snapshot.pools[item].stats.done for item in self.before[name]) - pool.stats.began
