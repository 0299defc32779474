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
from abc import abstractmethod
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
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import PoolError, Stalled
from ray_jobs.forecast.rates import max_concurrency
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.file_names import Tag, new_token
from ray_jobs.output.manifest import Entry
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan import Fanout, planned_rows
from ray_jobs.output.schema import KEPT, PLAN_SCHEMA
from ray_jobs.pipeline.actor import ActorContext, BlockActor, PoolActor, Row, RowActor
from ray_jobs.pipeline.job import Job
from ray_jobs.pipeline.monitor import Monitor, WorkerStats
from ray_jobs.pipeline.placement import Placement
from ray_jobs.pipeline.pools import unschedulable
from ray_jobs.pipeline.stage import Stage
from ray_jobs.runner.ray_errors import job_error
from ray_jobs.seeds.read import Seed, SeedSource, read_seeds
from ray_jobs.storage.store import Store, open_store

MIN_SEEDS = 30
FILLS = 4
"""How often the sample fills each evolver's engine."""


class SampleTooSmall(PoolError):
    """Nothing of the sample got as far as a pool."""


class SampledActor(PoolActor[Any]):
    """Goes before an actor's class, and notes its calls and how long it loaded."""

    def __init__(self, task: Any, context: ActorContext) -> None:
        started = time.monotonic()
        super().__init__(task, context)
        self._load_seconds = time.monotonic() - started

    def load_seconds(self) -> float:
        """How long loading took; answers once it is over."""
        return self._load_seconds

    @abstractmethod
    def calls(self) -> Sequence[Call]:
        """All calls so far."""

    def draws_per_call(self) -> int:
        """How many of an engine's slots a call takes."""
        return 1

    async def timed(self, table: pa.Table) -> tuple[pa.Table, float]:
        """Work on a block; also how many seconds it took."""
        started = time.monotonic()
        return await self(table), time.monotonic() - started


class SampledRows(SampledActor, RowActor[Any]):
    """Before an actor with an engine, whose calls are counted one by one."""

    def engine(self, config: EngineConfig) -> Engine:
        """The engine, which from now on notes its calls."""
        self._recorder = RecordingEngine(super().engine(config))
        return self._recorder

    def calls(self) -> Sequence[Call]:
        """All calls so far."""
        return self._recorder.calls

    def draws_per_call(self) -> int:
        """As many as its prompts ask for."""
        return self.draws


class SampledBlocks(SampledActor, BlockActor[Any]):
    """Before an actor that takes blocks: each is one call, for blocks take turns with the model."""

    def __init__(self, task: Any, context: ActorContext) -> None:
        self._calls: list[Call] = []
        super().__init__(task, context)

    def work(self, rows: Sequence[Row], stats: WorkerStats) -> Sequence[Any]:
        """Work on a block, and note it."""
        began, own = time.monotonic(), WorkerStats()
        results = super().work(rows, own)  # type: ignore[safe-super]  # the actor's class comes behind this one
        # a model that counts no tokens, a classifier, is measured in rows, as if each were one
        read = own.prompt_tokens + own.completion_tokens or len(rows)
        self._calls.append(Call("", began, time.monotonic(), read, 0))
        stats.add(own)
        return results

    def calls(self) -> Sequence[Call]:
        """All calls so far."""
        return self._calls


def sampled(actor: type[PoolActor[Any]]) -> type[SampledActor]:
    """The actor's class with notes of its calls."""
    before = SampledRows if issubclass(actor, RowActor) else SampledBlocks
    return type(f"Sampled{actor.__name__}", (before, actor), {})


@dataclass(frozen=True)
class Draw:
    """Seeds to try, each with its index among all, and how many rows all seeds give each evolver."""

    seeds: Sequence[tuple[int, Seed]]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class PoolSample:
    """What one pool did with the sample: its calls, and each row's tokens, read and written, by the row's id.

    Its engine runs `max_concurrency` calls at once. `branches` are those whose rows pass it; none: all rows.
    """

    load_seconds: float
    block_seconds: float
    calls: Sequence[Call]
    tokens: Mapping[str, tuple[int, int]]
    max_concurrency: int
    branches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A sample that has gone through all pools. `rows` are the finished ones, `bytes` what they take as one part."""

    pools: Mapping[str, PoolSample]
    rows: Sequence[Mapping[str, Any]]
    bytes: int
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records by status and reason."""

    def told(self) -> dict[str, int]:
        """The outcomes by a name that people read."""
        return {f"{status}: {why}" if why else status: count for (status, why), count in self.outcomes.items()}


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


def run_sample(job: SynthesisJob, drawn: Draw) -> Sample:
    """Take the drawn seeds through all pools, on the Ray that is connected. Raises PoolError."""
    blocks = {branch: _planned(drawn, branch, job.fanout(), rows) for branch, rows in job.pipeline.block_rows().items()}
    with tempfile.TemporaryDirectory(prefix="evolve-") as folder:
        return sample_blocks(job, blocks, open_store(folder), Tag(0, new_token()))[0]


def sample_blocks(job: Job, blocks: Mapping[str, Sequence[pa.Table]], store: Store, tag: Tag) -> tuple[Sample, Entry]:
    """Take blocks of planned rows, by their branch, through all pools, and write what comes out as one part of `store`.

    One part, for its size: a run joins its small parts. The part's entry is for the caller to commit. Raises PoolError.
    """
    pipeline, seconds = job.pipeline, job.config.limits.stall_seconds
    monitor = Monitor.create(pipeline.pools())
    pools: dict[str, PoolSample] = {}

    def through(stages: Iterable[Stage], tables: Sequence[pa.Table]) -> list[pa.Table]:
        for stage in stages:
            actor = _Actor(stage, stage.context(monitor, stage in pipeline.first), seconds)
            pools[stage.name], tables = actor.work(tables)
        return list(tables)

    tables: list[pa.Table] = []
    for names, own in pipeline.side_by_side():
        if of_them := [block for name in names for block in blocks.get(name, ())]:
            tables += through(own, of_them)
    whole = pa.concat_tables(through(pipeline.shared, tables))
    entry = write_part(store, tag, *job.layout("sample").split(whole), whole["plan_row"].to_numpy())
    outcomes: Counter[tuple[str, str]] = Counter()
    for (_, _, status, reason), count in entry.outcome_counts.outcomes.items():
        outcomes[status, reason if status != KEPT else ""] += count
    return Sample(pools, whole.to_pylist(), sum(part.bytes for part in entry.files), outcomes), entry


@dataclass(frozen=True)
class _Actor:
    """One actor of a stage's pool, for as long as it takes to work on some blocks."""

    stage: Stage
    context: ActorContext
    stall_seconds: float

    def work(self, blocks: Sequence[pa.Table]) -> tuple[PoolSample, list[pa.Table]]:
        """Take all blocks through a new actor, which ends with it."""
        stage, placement = self.stage, Placement(self.stage.name, self.stage.pool.shapes)
        actor = self._start(placement)
        try:
            load_seconds = ray.get(actor.load_seconds.remote(), timeout=self.stall_seconds)
            done = ray.get([actor.timed.remote(block) for block in blocks])
            calls, draws = ray.get([actor.calls.remote(), actor.draws_per_call.remote()])
        except GetTimeoutError:
            held_up = "; ".join(unschedulable({stage.name: stage.pool}))
            reason = held_up or f"pool {stage.name}: an actor that loads its model"
            raise Stalled(f"the sample waited {self.stall_seconds:g} s for {reason}") from None
        except RayError as error:
            raise PoolError(f"pool {stage.name}: {job_error(error)}") from error
        finally:
            ray.kill(actor)
            placement.close()
        if not calls:
            raise SampleTooSmall(f"pool {stage.name}: not one prompt of the sample was completed")
        tables, rows = [table for table, _ in done], issubclass(stage.actor, RowActor)
        sample = PoolSample(
            load_seconds,
            sum(seconds for _, seconds in done) / len(done),
            calls,
            _tokens(calls) if rows else _scored(tables, sum(call.tokens for call in calls)),
            max(1, max_concurrency(stage.model, stage.pool) // draws) if rows else 1,
            stage.branches,
        )
        return sample, tables

    def _start(self, placement: Placement) -> Any:
        remote: Any = ray.remote(sampled(self.stage.actor))
        at_once = self.stage.pool.batches_in_flight
        return remote.options(**placement(), max_concurrency=at_once).remote(self.stage.task, self.context)


def scored_tokens(table: pa.Table) -> dict[str, int]:
    """The tokens that scoring has read, by row."""
    return {
        row["row_id"]: sum((item["n_q"] or 0) + (item["n_a"] or 0) for item in row["rounds"])
        for row in table.select(["row_id", "rounds"]).to_pylist()
    }


def _scored(tables: Iterable[pa.Table], read: int) -> dict[str, tuple[int, int]]:
    """The share of each row in the tokens that were `read`: of several answers the rounds tell those of one alone."""
    found = {row_id: tokens for table in tables for row_id, tokens in scored_tokens(table).items()}
    if not (whole := sum(found.values())):
        return dict.fromkeys(found, (1, 0))
    return {row_id: (round(read * tokens / whole), 0) for row_id, tokens in found.items()}


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
