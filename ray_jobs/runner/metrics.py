"""A run's figures as Prometheus metrics, set from the driver's snapshots of the monitor: no worker counts anything
twice.

Ray exports them from the driver's node under `ray_` and, for counters, `_total`: `ray_evolve_records_total`. Gauges
go with the driver, counters stay as long as its node; those of another driver begin at 0, as `rate()` expects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ray.util.metrics import Counter, Gauge

from ray_jobs.output.columns import HEADLINES
from ray_jobs.pipeline.monitor import PoolState, Snapshot


class Metric(NamedTuple):
    """One metric: its kind, what it says, and its labels beside `run`."""

    kind: type[Counter] | type[Gauge]
    description: str
    labels: tuple[str, ...] = ()


METRICS = {
    "evolve_rows_planned": Metric(Gauge, "Rows that the run's plan holds."),
    "evolve_rows_done": Metric(Gauge, "Rows with a committed outcome, those of earlier executions included."),
    "evolve_records": Metric(Counter, "Records committed.", ("evolver", "status", "reason")),
    "evolve_budget_share": Metric(Gauge, "Share of limits.budget that all sessions have taken.", ("kind",)),
    "evolve_parts": Metric(Counter, "Parts committed."),
    "evolve_pool_rows": Metric(Counter, "Rows that a pool has finished.", ("pool",)),
    "evolve_pool_tokens": Metric(Counter, "Tokens that a pool's models read and wrote.", ("pool", "kind")),
    "evolve_pool_rows_in_flight": Metric(Gauge, "Rows that a pool's actors hold: its engines' queue.", ("pool",)),
    "evolve_pool_rows_retried": Metric(Gauge, "Rows that lost actors had begun, which others begin again.", ("pool",)),
    "evolve_pool_actors": Metric(Gauge, "Actors heard from lately, loading or ready.", ("pool", "state")),
    "evolve_pool_actor_starts": Metric(
        Counter, "Actors started; those beyond the pool's greatest size are restarts.", ("pool",)
    ),
}
Reading = tuple[str, tuple[str, ...], float]
"""A metric's name, the values of its labels, and the number."""


class RunMetrics:
    """The metrics of one execution. `planned` and `already` are the rows of the plan, and those done before it.

    `shares` tells of a snapshot how much of the budget is taken, by kind.
    """

    def __init__(
        self, run_id: str, planned: int, already: int, shares: Callable[[Snapshot], Mapping[str, float]]
    ) -> None:
        self._run_id, self._planned, self._already, self._shares = run_id, planned, already, shares
        self._metrics = {
            name: metric.kind(name, metric.description, ("run", *metric.labels)) for name, metric in METRICS.items()
        }
        self._counted: dict[tuple[str, tuple[str, ...]], float] = {}

    def observe(self, snapshot: Snapshot) -> None:
        """Bring all metrics up to a snapshot."""
        for name, values, number in readings(snapshot, self._planned, self._already, self._shares(snapshot)):
            tags = dict(zip(("run", *METRICS[name].labels), (self._run_id, *values), strict=True))
            metric = self._metrics[name]
            if isinstance(metric, Gauge):
                metric.set(number, tags)
            elif (more := self._growth((name, values), number)) > 0:
                metric.inc(more, tags)

    def _growth(self, key: tuple[str, tuple[str, ...]], number: float) -> float:
        """How much a counter grew. One that fell was forgotten, with the monitor's process, and began again."""
        before = self._counted.get(key, 0.0)
        self._counted[key] = number
        return number - before if number >= before else number


def readings(snapshot: Snapshot, planned: int, already: int, shares: Mapping[str, float]) -> Iterator[Reading]:
    """Every metric as a snapshot has it; counters as totals of this execution."""
    yield "evolve_rows_planned", (), planned
    yield "evolve_rows_done", (), already + snapshot.committed.rows
    yield "evolve_parts", (), snapshot.parts
    for kind, share in shares.items():
        yield "evolve_budget_share", (kind,), share
    records: dict[tuple[str, ...], int] = {}
    for (evolver, _, status, reason), count in snapshot.committed.outcomes.items():
        records[evolver, status, reason] = records.get((evolver, status, reason), 0) + count
    for key, count in records.items():
        yield "evolve_records", key, count
    for name, pool in snapshot.pools.items():
        yield from _pool_readings(name, pool)


def figures(snapshot: Snapshot, planned: int, already: int, shares: Mapping[str, float]) -> dict[str, float]:
    """Every metric by name and labels, such as `evolve_pool_rows/respond`, and the means of headline scores."""
    # a label that is empty, such as the reason of what is kept, is no part of a name
    found = {
        "/".join((name, *filter(None, values))): number
        for name, values, number in readings(snapshot, planned, already, shares)
    }
    for item in HEADLINES:
        if (mean := snapshot.committed.share(item.name)) is not None:
            found[f"evolve_mean/{item.name}"] = mean
    return found


def _pool_readings(name: str, pool: PoolState) -> Iterator[Reading]:
    yield "evolve_pool_rows", (name,), pool.stats.done
    yield "evolve_pool_tokens", (name, "prompt"), pool.stats.prompt_tokens
    yield "evolve_pool_tokens", (name, "completion"), pool.stats.completion_tokens
    yield "evolve_pool_rows_in_flight", (name,), pool.in_flight
    yield "evolve_pool_rows_retried", (name,), pool.retried
    yield "evolve_pool_actors", (name, "loading"), pool.loading
    yield "evolve_pool_actors", (name, "ready"), pool.ready
    yield "evolve_pool_actor_starts", (name,), pool.starts
