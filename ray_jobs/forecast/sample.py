"""A sample of a run's seeds, taken through the run's own actors, one pool after the other, each with all it can do.

In a run the pools hold each other up, so a sample of that would say how fast the slowest of them is and nothing of
the others. Here one actor of each pool works alone on blocks of the usual size, as many at once as usual. Nothing is
read from the run's output and nothing is written to it.
"""

from __future__ import annotations

import heapq
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import GetTimeoutError, RayError

from evolve.engine import Engine
from evolve.engines.recording_engine import Call, RecordingEngine
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.config.pool_names import RESPOND, SCORE, pool_name
from ray_jobs.config.run import PoolConfig, PoolResponderConfig, RunConfig
from ray_jobs.errors import PoolError, Stalled
from ray_jobs.forecast.rates import max_concurrency
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.file_names import Tag, new_token
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan import Fanout, planned_rows
from ray_jobs.output.schema import KEPT, PLAN_SCHEMA, flatten, split_outcomes
from ray_jobs.pipeline.actors import EngineActor, EvolveActor, RespondActor, ScoreActor
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.pools import unschedulable
from ray_jobs.runner.ray_errors import job_error
from ray_jobs.seeds.read import Seed, SeedSource, read_seeds
from ray_jobs.storage.store import open_store

MIN_SEEDS = 30
FILLS = 4
"""How often the sample fills each evolver's engine."""


class RecordingActor(EngineActor):
    """Goes before an actor that holds an engine, and notes its calls."""

    def __init__(self, job: Any) -> None:
        started = time.monotonic()
        super().__init__(job)  # type: ignore[call-arg]
        self._load_seconds = time.monotonic() - started

    def load(self, config: EngineConfig) -> Engine:
        """The engine, which from now on notes its calls."""
        self._recorder = RecordingEngine(super().load(config))
        return self._recorder

    def load_seconds(self) -> float:
        """How long loading took; answers once it is over."""
        return self._load_seconds

    def calls(self) -> list[Call]:
        """All calls so far."""
        return self._recorder.calls

    async def block(self, table: pa.Table) -> tuple[pa.Table, float]:
        """Work on a block; also how many seconds it took."""
        started = time.monotonic()
        return await self(table), time.monotonic() - started  # type: ignore[operator]


class SampledEvolve(RecordingActor, EvolveActor):
    """An evolver's actor."""


class SampledRespond(RecordingActor, RespondActor):
    """The responder's actor."""


class SampledScore(ScoreActor):
    """The scorer's actor: a block is one call, for blocks take turns with the model."""

    def __init__(self, job: Any) -> None:
        started = time.monotonic()
        super().__init__(job)
        self._load_seconds = time.monotonic() - started
        self._calls: list[Call] = []

    def load_seconds(self) -> float:
        """How long loading took; answers once it is over."""
        return self._load_seconds

    def calls(self) -> list[Call]:
        """All calls so far."""
        return self._calls

    async def block(self, table: pa.Table) -> tuple[pa.Table, float]:
        """Score a block; also how many seconds it took."""
        began = time.monotonic()
        scored = await self(table)
        ended = time.monotonic()
        self._calls.append(Call("", began, ended, sum(scored_tokens(scored).values()), 0))
        return scored, ended - began


@dataclass(frozen=True)
class Draw:
    """Seeds to try, each with its index among all, and how many rows all seeds give each evolver."""

    seeds: Sequence[tuple[int, Seed]]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Stage:
    """What one pool did with the sample: its calls, and each row's tokens, read and written, by the row's id."""

    load_seconds: float
    block_seconds: float
    calls: Sequence[Call]
    tokens: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Sample:
    """A sample that has gone through all pools. `rows` are the finished ones, `bytes` what they take as one part."""

    stages: Mapping[str, Stage]
    rows: Sequence[Mapping[str, Any]]
    bytes: int
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records by status and reason."""


def wanted_seeds(run: RunConfig) -> int:
    """How many seeds fill every evolver's engine often enough."""
    total = sum(evolver.weight for evolver in run.evolvers.values())
    seeds = (
        FILLS
        * max_concurrency(evolver.engine, evolver.pool)
        / run.samples
        / (evolver.weight / total if run.sharing == "split" else 1)
        for evolver in run.evolvers.values()
    )
    return max(MIN_SEEDS, math.ceil(max(seeds)))


def draw(source: SeedSource, fanout: Fanout, count: int) -> Draw:
    """Read all seeds once, count the rows that they give, and keep `count` of them.

    Those with the smallest ids: ids are hashes, so what is kept does not depend on the order of the files.
    """
    rows: Counter[str] = Counter(dict.fromkeys(fanout.evolvers, 0))
    kept: list[tuple[int, int, Seed]] = []
    place = 0
    for batch in read_seeds(source):
        for seed in batch.seeds:
            if seed.seed_id in fanout.held_out:
                continue
            rows.update(dict.fromkeys(fanout.chosen(seed.seed_id), fanout.samples))
            heapq.heappush(kept, (-int(seed.seed_id, 16), place, seed))
            if len(kept) > count:
                heapq.heappop(kept)
            place += 1
    return Draw(sorted(((place, seed) for _, place, seed in kept), key=lambda pair: pair[0]), rows)


def run_sample(job: SynthesisJob, run: RunConfig, drawn: Draw) -> Sample:
    """Take the drawn seeds through all pools, on the Ray that is connected. Raises PoolError."""
    monitor = Monitor.create(job.pools())
    stages: dict[str, Stage] = {}
    tables: list[pa.Table] = []
    for name, evolver in run.evolvers.items():
        blocks = _planned(drawn, name, job.fanout(), evolver.pool.batch_rows)
        if blocks:
            actor = _Actor(pool_name(name), SampledEvolve, job.evolver_job(name, monitor), evolver.pool, run)
            stages[pool_name(name)], evolved = actor.work(blocks)
            tables += evolved
    if isinstance(run.responder, PoolResponderConfig):
        responder = job.responder_job(run.responder, monitor)
        stages[RESPOND], tables = _Actor(RESPOND, SampledRespond, responder, run.responder.pool, run).work(tables)
    if run.scorer:
        scorer = job.scorer_job(run.scorer, monitor)
        stages[SCORE], tables = _Actor(SCORE, SampledScore, scorer, run.scorer.pool, run).work(tables)
    return _finished(job, stages, tables)


@dataclass(frozen=True)
class _Actor:
    """One actor of a pool, for as long as it takes to work on some blocks."""

    name: str
    kind: type[Any]
    job: Any
    pool: PoolConfig
    run: RunConfig

    def work(self, blocks: Sequence[pa.Table]) -> tuple[Stage, list[pa.Table]]:
        """Take all blocks through a new actor, which ends with it."""
        actor = self._start()
        try:
            load_seconds = ray.get(actor.load_seconds.remote(), timeout=self.run.limits.stall_seconds)
            done = ray.get([actor.block.remote(block) for block in blocks])
            calls = ray.get(actor.calls.remote())
        except GetTimeoutError:
            reasons = (
                "; ".join(unschedulable({self.name: self.pool})) or f"pool {self.name}: an actor that loads its model"
            )
            raise Stalled(f"the sample waited {self.run.limits.stall_seconds:g} s for {reasons}") from None
        except RayError as error:
            raise PoolError(f"pool {self.name}: {job_error(error)}") from error
        finally:
            ray.kill(actor)
        if not calls:
            raise PoolError(f"pool {self.name}: not one prompt of the sample was completed")
        tables = [table for table, _ in done]
        tokens = _tokens(calls) if self.kind is not SampledScore else _scored(tables)
        return Stage(load_seconds, sum(seconds for _, seconds in done) / len(done), calls, tokens), tables

    def _start(self) -> Any:
        pool = self.pool
        remote: Any = ray.remote(self.kind)
        return remote.options(
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
            resources=pool.resources or None,
            accelerator_type=pool.accelerator_type,
            max_concurrency=pool.batches_in_flight,
        ).remote(self.job)


def scored_tokens(table: pa.Table) -> dict[str, int]:
    """The tokens that scoring has read, by row."""
    return {
        row["row_id"]: sum((item["n_q"] or 0) + (item["n_a"] or 0) for item in row["rounds"])
        for row in table.select(["row_id", "rounds"]).to_pylist()
    }


def _scored(tables: Iterable[pa.Table]) -> dict[str, tuple[int, int]]:
    return {row_id: (tokens, 0) for table in tables for row_id, tokens in scored_tokens(table).items()}


def _tokens(calls: Iterable[Call]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for call in calls:
        prompt, completion = found.get(call.row, (0, 0))
        found[call.row] = prompt + call.prompt_tokens, completion + call.completion_tokens
    return found


def _planned(drawn: Draw, evolver: str, fanout: Fanout, batch_rows: int) -> list[pa.Table]:
    rows = [
        row
        for place, seed in drawn.seeds
        if evolver in fanout.chosen(seed.seed_id)
        for row in planned_rows(seed, place, evolver, fanout)
    ]
    table = pa.Table.from_pylist([{"plan_row": number, **row} for number, row in enumerate(rows)], PLAN_SCHEMA)
    return [table.slice(first, batch_rows) for first in range(0, table.num_rows, batch_rows)]


def _finished(job: SynthesisJob, stages: Mapping[str, Stage], tables: Sequence[pa.Table]) -> Sample:
    """Write the sample as one part into a folder that goes again, for its size: a run joins its small parts."""
    labels, whole = job.labels("sample"), pa.concat_tables(tables)
    with tempfile.TemporaryDirectory(prefix="evolve-") as folder:
        records = split_outcomes(flatten(whole, labels.constants, labels.evolver_models))
        entry = write_part(open_store(folder), Tag(0, new_token()), *records, whole["plan_row"].to_numpy())
    outcomes: Counter[tuple[str, str]] = Counter()
    for (_, _, status, reason), count in entry.outcome_counts.outcomes.items():
        outcomes[status, reason if status != KEPT else ""] += count
    return Sample(stages, whole.to_pylist(), sum(part.bytes for part in entry.files), outcomes)
