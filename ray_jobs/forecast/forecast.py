"""What a run will take: time, tokens, GPU-hours, money, and which pool the others wait for. Nothing but arithmetic.

Rows stream through all pools at once, so the slowest one, seen as seconds of work divided by actors, sets the pace; the
others keep up and idle in between. Before that the models load, all of them at the same time; and a row's
way through the pools is added once, less the half of it that the slowest pool spends working.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_jobs.config.pools import PoolConfig
from ray_jobs.forecast.rates import PoolRate, Rates

HOUR = 3600.0


@dataclass(frozen=True)
class PoolForecast:
    """One pool over a whole run. `work_seconds` are those of all its actors added up, loading not included.

    `tokens_per_second` is what it does while rows stream, `most_tokens_per_second` what it could. GPU-hours and cost
    are of `actors` actors from the run's beginning to its end.
    """

    name: str
    rows: int
    prompt_tokens: float
    completion_tokens: float
    actors: int
    work_seconds: float
    tokens_per_second: float
    most_tokens_per_second: float
    load_seconds: float
    gpu_hours: float
    cost: float

    @property
    def stream_seconds(self) -> float:
        """How long its actors work when nothing makes them wait."""
        return self.work_seconds / self.actors


@dataclass(frozen=True)
class Forecast:
    """A whole run. Seconds: models load, rows stream at `rows_per_second`, the first and last ones are on their way.

    `lean` are the fewest actors that are as fast, `fast` the fastest sizes of no more GPUs (of no more actors, where no
    pool has GPUs), with the seconds that rows would stream then.
    """

    rows: int
    pools: Sequence[PoolForecast]
    bottleneck: str
    load_seconds: float
    stream_seconds: float
    passage_seconds: float
    rows_per_second: float
    bytes: float
    records: Mapping[str, float]
    lean: Mapping[str, int]
    fast: Mapping[str, int]
    fast_stream_seconds: float

    @property
    def seconds(self) -> float:
        """From the moment when all actors have their machines to the end."""
        return self.load_seconds + self.stream_seconds + self.passage_seconds

    @property
    def tokens(self) -> float:
        """Of all pools."""
        return sum(pool.prompt_tokens + pool.completion_tokens for pool in self.pools)

    @property
    def gpu_hours(self) -> float:
        """Of all pools."""
        return sum(pool.gpu_hours for pool in self.pools)

    @property
    def cost(self) -> float:
        """Of all pools, in the money of their prices."""
        return sum(pool.cost for pool in self.pools)


def forecast(
    rates: Rates, pools: Mapping[str, PoolConfig], rows: Mapping[str, int], order: Sequence[Sequence[str]]
) -> Forecast:
    """Forecast a run at its pools' greatest sizes.

    `rows` are those that pass each pool; `order` has the pools in the order in which a row passes them, those that
    share rows among them together.
    """
    total = sum(rows[name] for name in order[0])
    work = {name: rows[name] * rates.pools[name].seconds_per_row for name in pools}
    sizes = {name: pool.bounds[1] for name, pool in pools.items()}
    bottleneck = max(pools, key=lambda name: work[name] / sizes[name])
    stream = max(work[bottleneck] / sizes[bottleneck], 1e-9)
    loading = max(rates.pools[name].load_seconds for name in pools)
    passage = _passage(rates.pools, order, bottleneck)
    seconds = loading + stream + passage
    fast = fastest(work, sizes, {name: pool.gpus_an_actor for name, pool in pools.items()})
    return Forecast(
        rows=total,
        pools=[_pool(name, pool, rates.pools[name], rows[name], stream, seconds) for name, pool in pools.items()],
        bottleneck=bottleneck,
        load_seconds=loading,
        stream_seconds=stream,
        passage_seconds=passage,
        rows_per_second=total / stream,
        bytes=total * rates.bytes_per_row,
        records={status: total * share for status, share in rates.records_per_row.items()},
        lean={name: _enough(work[name], stream) for name in pools},
        fast=fast,
        fast_stream_seconds=max(work[name] / size for name, size in fast.items()),
    )


def fastest(work: Mapping[str, float], sizes: Mapping[str, int], gpus: Mapping[str, float]) -> dict[str, int]:
    """The sizes under which the slowest pool is fastest, for no more GPUs than `sizes` have.

    From one actor a pool on, the slowest pool gets one more as long as its GPUs suffice. Pools without GPUs keep
    their size where others have some; where none has, actors are counted instead.
    """
    costs = dict(gpus) if any(gpus.values()) else dict.fromkeys(gpus, 1.0)
    found = {name: 1 if costs[name] else sizes[name] for name in sizes}
    left = sum((sizes[name] - found[name]) * costs[name] for name in sizes)
    while costs[slowest := max(found, key=lambda name: work[name] / found[name])] and costs[slowest] <= left + 1e-9:
        found[slowest] += 1
        left -= costs[slowest]
    return found


def _enough(work: float, seconds: float) -> int:
    # less a hair, for what divides exactly must not be rounded up
    return max(1, math.ceil(work / seconds - 1e-6))


def _passage(rates: Mapping[str, PoolRate], order: Sequence[Sequence[str]], bottleneck: str) -> float:
    slowest = [max(rates[name].block_seconds for name in names if name in rates) for names in order]
    return max(0.0, sum(slowest) - rates[bottleneck].block_seconds / 2)


def _pool(name: str, pool: PoolConfig, rate: PoolRate, rows: int, stream: float, seconds: float) -> PoolForecast:
    actors, tokens = pool.bounds[1], rows * (rate.prompt_tokens + rate.completion_tokens)
    return PoolForecast(
        name=name,
        rows=rows,
        prompt_tokens=rows * rate.prompt_tokens,
        completion_tokens=rows * rate.completion_tokens,
        actors=actors,
        work_seconds=rows * rate.seconds_per_row,
        tokens_per_second=tokens / stream,
        most_tokens_per_second=actors * rate.tokens_per_second,
        load_seconds=rate.load_seconds,
        gpu_hours=pool.most_gpus * seconds / HOUR,
        cost=pool.most_price * seconds / HOUR,
    )
