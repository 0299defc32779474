"""What each stage's own code costs, in one process and without Ray Data: CPU milliseconds a row.

The actors of the pipeline, with engines that answer at once, are given one block after another by hand. What
pipeline_overhead.py measures beyond these figures is Ray's: its scheduler, its tasks, its object store.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import ray
from pipeline_overhead import configuration, write_seeds
from tables import markdown, publish

from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.epochs import add_part, begin
from ray_jobs.output.lease import take
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan import PlanWriter, make_plan
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.schema import flatten, split_outcomes
from ray_jobs.pipeline.actor import PoolActor
from ray_jobs.pipeline.journal import OWN_SECONDS, JournalPlace
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.plan_source import pending_blocks, read_block
from ray_jobs.storage.store import Store, open_store

Result = TypeVar("Result")
ROUNDS = 3


class Stopwatch:
    """CPU seconds of this process by stage; `profiled` is the stage whose functions are listed too."""

    def __init__(self, profiled: str | None) -> None:
        self.seconds: dict[str, float] = {}
        self._profiled = profiled

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        """Do `work` and count it under `stage`."""
        profile = cProfile.Profile()
        started = time.process_time()
        result = profile.runcall(work) if stage == self._profiled else work()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - started
        if stage == self._profiled:
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        return result


def read(store: Store, plan: PlanIndex, batch_rows: int) -> list[pa.Table]:
    """All planned rows, in blocks that hold one evolver's each."""
    done = np.zeros(plan.rows, dtype=np.bool_)
    evolvers = {file.evolver: [item for item in plan.files if item.evolver == file.evolver] for file in plan.files}
    return [
        read_block(store, block)[0] for files in evolvers.values() for block in pending_blocks(files, done, batch_rows)
    ]


def through(actor: Any, tables: list[pa.Table]) -> list[pa.Table]:
    """One block after another through an actor's coroutine."""

    async def all_blocks() -> list[pa.Table]:
        return [await actor(table) for table in tables]

    return asyncio.run(all_blocks())


def measure(folder: Path, rows: int, batch_rows: int, with_journal: bool, watch: Stopwatch) -> None:
    """Take `rows` rows through all stages."""
    write_seeds(folder / "seeds.jsonl", rows // 2)
    run = configuration(folder, {"size": 1, "batch_rows": batch_rows}, ROUNDS)
    job, store, monitor = SynthesisJob(run), open_store(run.output, {}), Monitor.create([])
    epoch = begin(store, take(store))
    plan = watch.time("plan", lambda: make_plan(PlanWriter(epoch), job.seed_source(), job.fanout()))
    tables = watch.time("read the plan", lambda: read(store, plan, batch_rows))
    journal = JournalPlace(store, epoch.lease.tag, "benchmark", "stage", OWN_SECONDS) if with_journal else None
    evolve, respond, score = actors(job, monitor, journal)
    tables = watch.time("evolve", lambda: through(evolve, tables))
    tables = watch.time("respond", lambda: through(respond, tables))
    tables = watch.time("score", lambda: through(score, tables))
    labels = job.labels("benchmark")
    flat = watch.time(
        "lay out as records",
        lambda: [split_outcomes(flatten(table, labels.constants, labels.evolver_models)) for table in tables],
    )
    places = [table["plan_row"].to_numpy() for table in tables]
    watch.time(
        "encode, write, commit",
        lambda: [
            add_part(store, epoch.lease, write_part(store, epoch.lease.tag, *item, at))
            for item, at in zip(flat, places, strict=True)
        ],
    )


def actors(job: SynthesisJob, monitor: Monitor, journal: JournalPlace | None) -> list[PoolActor[Any]]:
    """One of each stage. Both evolvers' rows go through one actor: their engines are the same."""
    pipeline = job.pipeline
    stages = [pipeline.first[0], *pipeline.shared]
    return [stage.actor(stage.task, stage.context(monitor, stage in pipeline.first, journal)) for stage in stages]


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_240)
    parser.add_argument("--batch-rows", type=int, default=256)
    parser.add_argument("--no-journal", action="store_true", help="keep no replies")
    parser.add_argument("--profile", help="a stage whose functions are listed, most expensive first")
    args = parser.parse_args()
    watch = Stopwatch(args.profile)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), args.rows, args.batch_rows, not args.no_journal, watch)
    ray.shutdown()
    lines = [[stage, f"{1000 * seconds / args.rows:.4f}"] for stage, seconds in watch.seconds.items()]
    lines.append(["together", f"{1000 * sum(watch.seconds.values()) / args.rows:.4f}"])
    text = (
        f"{args.rows:,} rows of {ROUNDS} rounds, {args.batch_rows} a block, replies {'not ' * args.no_journal}kept.\n\n"
    )
    publish("stage_cost", text + markdown(["stage", "CPU ms a row"], lines))


if __name__ == "__main__":
    main()
