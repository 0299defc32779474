"""A forecast of AutoIF, phase by phase: how many rows a phase has is known only from what the one before has kept.

So a small AutoIF is made in a folder that goes again: a few calls for new instructions; of the instructions that the
constraints and these calls gave, a few; of the queries that those are paired with which passed, a few. What each phase
keeps of its sample says how many rows the next one will have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from ray_jobs.errors import ConfigError
from ray_jobs.forecast.capacity import cluster_groups
from ray_jobs.forecast.checks import cards_of, check_cluster, check_sizes
from ray_jobs.forecast.plan import ForecastAnswer, Question, Say, answered
from ray_jobs.forecast.sample import MIN_SEEDS, Sample, SampleTooSmall, sample_blocks
from ray_jobs.forecast.sample_rates import SeedStats
from ray_jobs.jobs.autoif.config import AutoIFConfig
from ray_jobs.jobs.autoif.phase import Phase
from ray_jobs.jobs.autoif.phases import InstructionPhase, autoif_jobs
from ray_jobs.jobs.autoif.stores import autoif_stores
from ray_jobs.jobs.preflight import check_settings, check_writable
from ray_jobs.output import accept, lease
from ray_jobs.output.epochs import add_part, begin
from ray_jobs.output.file_names import SUCCESS
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_files import read_plan_file
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.pools import logical_cpus
from ray_jobs.runner.cluster import cluster
from ray_jobs.storage.store import Store, open_store

Rows = Mapping[str, int]
"""How many rows, by evolver."""


@dataclass(frozen=True)
class Trial:
    """A phase of the small run: the rows that it planned, those of them that were taken, and what came of these."""

    planned: Rows
    taken: Rows
    sample: Sample


def forecast_phases(run: AutoIFConfig, question: Question, verbose: bool, say: Say) -> dict[str, ForecastAnswer]:
    """Check a run of AutoIF and forecast what is left of each phase. Writes nothing that stays.

    A phase of which the sample tells nothing, because nothing came as far, is left out with those behind it, and said.
    Raises ConfigError with everything that is wrong, SeedError, StorageError, OutputError, PoolError.
    """
    if question.rates:
        raise ConfigError("--rates: of AutoIF speeds are not enough: what a phase keeps says how many rows follow")
    phases = autoif_jobs(run)
    for phase in phases:
        check_settings(phase)
        check_writable(phase)
    phases[0].check_machine(say)
    stages = [stage for phase in phases for stage in phase.pipeline.stages]
    pools = {stage.name: stage.pool for stage in stages}
    with cluster(run.ray, logical_cpus(pools.values()), verbose):
        groups = cluster_groups()
        notes = [*check_cluster(pools, groups), *check_sizes(stages, question.card_gb, cards_of(pools, groups))]
        for note in dict.fromkeys(notes):
            say(note)
        with tempfile.TemporaryDirectory(prefix="evolve-") as folder:
            return _sampled(phases, folder, question.sample or MIN_SEEDS, say)


def _sampled(phases: list[Phase], folder: str, wanted: int, say: Say) -> dict[str, ForecastAnswer]:
    run, found, before = phases[0].run, dict[str, ForecastAnswer](), None
    calls = run.strategy.augment_calls
    total: Rows = dict.fromkeys(run.evolvers, calls)
    small = run.strategy.model_copy(update={"augment_calls": min(calls, wanted)})
    trials = autoif_jobs(run.model_copy(update={"output": folder, "storage": {}, "strategy": small}))
    for name, phase, trial_phase in zip(autoif_stores(open_store(folder)), phases, trials, strict=True):
        say(f"{name}: trying at most {wanted} rows of each evolver on one actor of each pool")
        try:
            trial = _try(trial_phase, wanted)
        except SampleTooSmall as few:
            say(f"{few}. What comes from there on is not forecast: take a larger sample with --sample")
            break
        if before:
            given = len(phase.prepared.constraints) if isinstance(phase, InstructionPhase) else 0
            total = _scaled(trial.planned, given, {name: total[name] / before.taken[name] for name in before.taken})
        before, total, done = trial, *_known(phase, total)
        found[name] = _answer(phase, trial, total, done)
    return found


def _try(phase: Phase, wanted: int) -> Trial:
    """Plan a phase of the small run, take `wanted` rows of each evolver through its pools, and commit them."""
    store = open_store(phase.config.output)
    holder = lease.acquire(store)
    try:
        writer = PlanWriter(begin(store, holder.lease))
        plan, blocks = phase.plan(writer), dict[str, list[pa.Table]]()
        planned, taken = dict[str, int](), dict[str, int]()
        for evolver, rows in phase.pipeline.block_rows().items():
            if not (table := _planned(store, plan, evolver)).num_rows:
                continue
            chosen = table.sort_by("row_id").slice(0, wanted)
            planned[evolver], taken[evolver] = table.num_rows, chosen.num_rows
            blocks[evolver] = [chosen.slice(first, rows) for first in range(0, chosen.num_rows, rows)]
        if not blocks:
            raise SampleTooSmall("nothing of the phase before was kept")
        sample, entry = sample_blocks(phase, blocks, store, holder.lease.tag)
        add_part(store, holder.lease, entry)
        return Trial(planned, taken, sample)
    finally:
        holder.release()


def _planned(store: Store, plan: PlanIndex, evolver: str) -> pa.Table:
    tables = [read_plan_file(store, file) for file in plan.files if file.evolver == evolver]
    return pa.concat_tables(tables) if tables else pa.table({"row_id": pa.array([], pa.string())})


def _scaled(planned: Rows, given: int, times: Mapping[str, float]) -> dict[str, int]:
    """The rows of a phase when the one before has so many times the rows of its sample; `given` ones come anyhow."""
    return {name: given + round((count - given) * times[name]) for name, count in planned.items()}


def _known(phase: Phase, foretold: Rows) -> tuple[dict[str, int], dict[str, int]]:
    """The rows of a phase, and those that are done. What is planned counts where it is more, or where it is all."""
    store = open_store(phase.config.output, phase.config.storage)
    total, done, accepted = dict(foretold), dict.fromkeys(foretold, 0), accept.load(store)
    if (plan := accepted.plan) is None:
        return total, done
    finished, ended = accepted.manifest.done(plan.rows), store.exists(SUCCESS)
    for name in total:
        files = [file for file in plan.files if file.evolver == name]
        rows = sum(file.rows for file in files)
        total[name] = rows if ended else max(rows, total[name])
        done[name] = sum(int(finished[file.first : file.first + file.rows].sum()) for file in files)
    return total, done


def _answer(phase: Phase, trial: Trial, total: Rows, done: Rows) -> ForecastAnswer:
    left = {name: rows - done[name] for name, rows in total.items()}
    outcomes, taken = trial.sample.told(), sum(trial.taken.values())
    rates = SeedStats.of(trial.sample).rates()
    if not any(left.values()):
        return ForecastAnswer([], left, sum(done.values()), taken, outcomes, rates, None)
    return answered(phase, rates, None, left, sum(done.values()), [], taken, outcomes)
