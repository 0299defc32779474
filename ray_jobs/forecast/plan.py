"""`evolve plan`: check whatever can be checked before a GPU is taken, try a sample, and say what the run will take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ray

from ray_jobs.config.run import RunConfig
from ray_jobs.errors import PoolError
from ray_jobs.forecast.capacity import cluster_groups
from ray_jobs.forecast.checks import cards_of, check_cluster, check_sizes
from ray_jobs.forecast.forecast import Forecast, forecast
from ray_jobs.forecast.rates import Rates, read_rates
from ray_jobs.forecast.sample import Draw, draw, run_sample, wanted_seeds
from ray_jobs.forecast.sample_rates import SeedStats, intervals
from ray_jobs.jobs.preflight import check_settings, check_writable
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.pipeline.job import Job
from ray_jobs.pipeline.pools import logical_cpus
from ray_jobs.runner.address import starts_here
from ray_jobs.runner.cluster import cluster
from ray_jobs.storage.store import open_store

Say = Callable[[str], None]


@dataclass(frozen=True)
class Question:
    """How to answer: from a sample of `sample` seeds (None takes what fills the engines) or from a file of rates.

    Of a job of phases, `sample` counts the rows of each evolver that are tried in each phase.

    `card_gb` is what a GPU has, in GB; None asks the pools' accelerator types and the cluster.
    """

    sample: int | None = None
    rates: Path | None = None
    card_gb: float | None = None


@dataclass(frozen=True)
class ForecastAnswer:
    """The answer. `notes` are worth knowing; `rows_left` are those that the output does not hold yet, by evolver.

    `ranges` say, for the numbers of `headline`, where 95 % of the forecasts from resampled seeds lie.
    """

    notes: list[str]
    rows_left: Mapping[str, int]
    rows_done: int
    sampled_seeds: int
    outcomes: Mapping[str, int]
    rates: Rates
    forecast: Forecast | None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs; `rates` can be given back to `evolve plan --rates`."""
        content: dict[str, Any] = asdict(self) | {"rates": self.rates.model_dump()}
        if self.forecast:
            content["forecast"] |= headline(self.forecast)
        return content


def headline(item: Forecast) -> dict[str, float]:
    """The numbers of a forecast that have a range."""
    return {
        "rows_per_second": item.rows_per_second,
        "seconds": item.seconds,
        "tokens": item.tokens,
        "gpu_hours": item.gpu_hours,
        "cost": item.cost,
        "bytes": item.bytes,
        **{f"{status}_records": count for status, count in item.records.items()},
    }


def forecast_run(run: RunConfig, question: Question, verbose: bool, say: Say) -> ForecastAnswer:
    """Check a run and forecast what is left of it. Reads its output and writes nothing that stays there.

    Raises ConfigError with everything that is wrong, SeedError, StorageError, OutputError, PoolError.
    """
    job = SynthesisJob(run)
    stages, pools = job.pipeline.stages, job.pipeline.pools()
    check_settings(job)
    check_writable(job)
    stated = read_rates(question.rates, pools) if question.rates else None
    drawn = draw(job.seed_source(), job.fanout(), question.sample or wanted_seeds(run))
    left, done = rows_left(job, drawn)
    say(f"seeds, templates and output are in order: {sum(left.values()):,} rows to do, {done:,} done")
    if not any(left.values()):
        return ForecastAnswer([], left, done, 0, {}, stated or Rates(pools={}), None)
    if stated and starts_here(run.ray.address) and not ray.is_initialized():
        notes = [*check_sizes(stages, question.card_gb, {}), "the cluster was not looked at: none is named"]
        for note in notes:
            say(note)
        return answered(job, stated, None, left, done, notes)
    with cluster(run.ray, logical_cpus(pools.values()), verbose):
        groups = cluster_groups()
        notes = [*check_cluster(pools, groups), *check_sizes(stages, question.card_gb, cards_of(pools, groups))]
        for note in notes:
            say(note)
        if stated:
            return answered(job, stated, None, left, done, notes)
        say(f"trying {len(drawn.seeds):,} seeds on one actor of each pool, one pool after the other")
        sample = run_sample(job, drawn)
    stats = SeedStats.of(sample)
    return answered(job, stats.rates(), stats, left, done, notes, len(drawn.seeds), sample.told())


def rows_left(job: SynthesisJob, drawn: Draw) -> tuple[dict[str, int], int]:
    """The rows of each evolver that the output does not hold yet, and how many it holds."""
    store = open_store(job.config.output, job.config.storage)
    found = accept.load(store)
    if found.plan is None:
        return dict(drawn.rows), 0
    plan, done = found.plan, found.manifest.done(found.plan.rows)
    left = dict(drawn.rows)
    for file in plan.files:
        if file.evolver in left:
            left[file.evolver] -= int(done[file.first : file.first + file.rows].sum())
    return {name: max(0, count) for name, count in left.items()}, int(done.sum())


def answered(
    job: Job,
    rates: Rates,
    stats: SeedStats | None,
    left: Mapping[str, int],
    done: int,
    notes: list[str],
    sampled: int = 0,
    outcomes: Mapping[str, int] | None = None,
) -> ForecastAnswer:
    """The answer from rates; with `stats` of a sample, its numbers have ranges. Raises PoolError."""
    pipeline = job.pipeline
    rows = pipeline.passing(left)
    going = {name: pool for name, pool in pipeline.pools().items() if rows[name]}
    if missing := sorted(set(going) - rates.pools.keys()):
        raise PoolError(f"pool {missing[0]}: no seed of the sample goes through it; take a larger one with --sample")
    order = [[name for name in names if name in going] for names in pipeline.order()]

    def forecast_of(of: Rates) -> Forecast:
        return forecast(of, going, rows, order)

    ranges = intervals(stats, lambda of: headline(forecast_of(of))) if stats else {}
    return ForecastAnswer(notes, left, done, sampled, dict(outcomes or {}), rates, forecast_of(rates), ranges)
