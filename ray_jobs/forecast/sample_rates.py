"""From a sample to rates, and how far they would vary with other seeds: a bootstrap."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ray_jobs.forecast.rates import PoolRate, Rates, held_places, steady_rate
from ray_jobs.forecast.sample import PoolSample, Sample
from ray_jobs.output.schema import FAILED, KEPT, REJECTED

REPLICATES = 1000
LEVEL = 0.95
STATUSES = (KEPT, REJECTED, FAILED)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Speed:
    """An actor on the whole sample: its speed in tokens a second, whether its engine was full, seconds."""

    tokens_per_second: float
    full: bool
    load_seconds: float
    block_seconds: float


@dataclass(frozen=True)
class PoolStats:
    """What each seed is to one pool: rows, tokens, and how long its calls held a place in the engine.

    Where calls do not tell rows apart, as the scorer's, each token counts as a second: its speed does not vary then.
    """

    rows: Array
    prompt: Array
    completion: Array
    held: Array

    def relative_speed(self, times: Array) -> float:
        """Tokens for each second that a place was held, where each seed stands `times` often, against the sample's."""
        tokens = self.prompt + self.completion
        held, tokens_then = float(self.held @ times), float(tokens @ times)
        return tokens_then / held * float(self.held.sum() / tokens.sum()) if held and tokens_then else 1.0


@dataclass(frozen=True)
class SeedStats:
    """A sample by seed, one place each: for each pool its figures; rows, records by status, bytes."""

    speeds: Mapping[str, Speed]
    pools: Mapping[str, PoolStats]
    rows: Array
    records: Mapping[str, Array]
    bytes: Array

    @classmethod
    def of(cls, sample: Sample) -> SeedStats:
        """Add a sample up by seed."""
        seeds = {seed: index for index, seed in enumerate(sorted({row["seed_id"] for row in sample.rows}))}
        places = np.array([seeds[row["seed_id"]] for row in sample.rows])

        def add_up(values: list[float]) -> Array:
            return np.bincount(places, weights=values, minlength=len(seeds)).astype(np.float64)

        pools = {}
        for name, pool in sample.pools.items():
            ids = [row["row_id"] for row in sample.rows]
            mine = [float(not pool.branches or row["evolver"] in pool.branches) for row in sample.rows]
            prompt, completion = ([float(pool.tokens.get(item, (0, 0))[side]) for item in ids] for side in (0, 1))
            held = _held(pool)
            pools[name] = PoolStats(*map(add_up, (mine, prompt, completion, [held[item] for item in ids])))
        counts = [Counter(item["status"] for item in row["rounds"]) for row in sample.rows]
        text = np.array([_characters(row) for row in sample.rows])
        return cls(
            speeds={
                name: Speed(*steady_rate(pool.calls, pool.max_concurrency), pool.load_seconds, pool.block_seconds)
                for name, pool in sample.pools.items()
            },
            pools=pools,
            rows=add_up([1.0] * len(sample.rows)),
            records={status: add_up([float(count[status]) for count in counts]) for status in STATUSES},
            bytes=add_up(list(sample.bytes * text / text.sum())),
        )

    def rates(self, weights: Array | None = None) -> Rates:
        """The rates of the sample, or of one in which each seed stands as often as `weights` says."""
        times = np.ones(len(self.rows)) if weights is None else weights
        rows = max(float(self.rows @ times), 1.0)
        return Rates(
            pools={name: self._pool_rate(name, times) for name in self.pools},
            bytes_per_row=float(self.bytes @ times) / rows,
            records_per_row={status: float(counts @ times) / rows for status, counts in self.records.items()},
        )

    def resampled(self) -> Iterator[Rates]:
        """Rates of samples drawn from this one, with replacement, seed by seed; always the same ones."""
        rng, seeds = np.random.default_rng(0), len(self.rows)
        for _ in range(REPLICATES):
            weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds)).astype(float)
            if all(pool.rows @ weights for pool in self.pools.values()):
                yield self.rates(weights)

    def _pool_rate(self, name: str, times: Array) -> PoolRate:
        pool, speed = self.pools[name], self.speeds[name]
        rows = max(float(pool.rows @ times), 1.0)
        return PoolRate(
            tokens_per_second=speed.tokens_per_second * pool.relative_speed(times),
            prompt_tokens=float(pool.prompt @ times) / rows,
            completion_tokens=float(pool.completion @ times) / rows,
            load_seconds=speed.load_seconds,
            block_seconds=speed.block_seconds,
            full=speed.full,
        )


def intervals(stats: SeedStats, forecast: Callable[[Rates], Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """For each number of a forecast the range in which 95 % of those from resampled seeds lie."""
    drawn = [forecast(rates) for rates in stats.resampled()]
    tail = 100 * (1 - LEVEL) / 2
    return {
        name: (float(low), float(high))
        for name in (drawn[0] if drawn else ())
        for low, high in [np.percentile([item[name] for item in drawn], [tail, 100 - tail])]
    }


def _held(pool: PoolSample) -> Mapping[str, float]:
    """How long the calls of each row held a place, by the row's id."""
    found: defaultdict[str, float] = defaultdict(float)
    for call, (taken, left) in zip(pool.calls, held_places(pool.calls, pool.max_concurrency), strict=True):
        found[call.row] += left - taken
    known = found.keys() & pool.tokens.keys()
    return found if known else defaultdict(float, {row: float(sum(tokens)) for row, tokens in pool.tokens.items()})


def _characters(row: Mapping[str, object]) -> int:
    rounds = row["rounds"]
    assert isinstance(rounds, list)
    texts = (item[name] for item in rounds for name in ("instruction", "output", "trajectory") if item[name])
    return 1 + sum(len(text) for text in texts)
