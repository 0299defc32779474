"""One run on one output, from configuration to success marker; the same call begins a run and resumes it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ray.exceptions import RayError

from evolve.flow import Strategy
from ray_jobs import lease, report
from ray_jobs.board import Board, Snapshot
from ray_jobs.cluster import cluster, configure_data
from ray_jobs.config import PoolResponderConfig, RunConfig
from ray_jobs.errors import JobError, OutputError, PoolError, SettingsChanged
from ray_jobs.manifest import Manifest
from ray_jobs.parts import PartsSink, RunLabels
from ray_jobs.plan import INDEX, UNREADABLE, Fanout, PlanIndex, load_index, make_plan
from ray_jobs.plan_source import pending_blocks
from ray_jobs.pools import pool_configs, pool_name
from ray_jobs.preflight import check, seed_source
from ray_jobs.progress import Display, make_display
from ray_jobs.reconcile import reconcile
from ray_jobs.settings import changes, fingerprint, result_settings
from ray_jobs.storage import Store, open_store
from ray_jobs.synthesize import Pending, synthesize
from ray_jobs.watch import Execution, StopRequest, Watchdog, watch

SAVE_SECONDS = 30.0
Say = Callable[[str], None]


def run(config: RunConfig, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """Begin or resume the run of `config`, and return its report once every planned row has an outcome.

    Raises ConfigError before anything starts, SeedError, StorageError, OutputError where another run is at work,
    PoolError, and Stopped after SIGINT or SIGTERM; whatever was finished by then is committed.
    """
    return _hold(config, verbose, say, lambda job: job.plan())


def resume(config: RunConfig, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """As `run`, for an output that is planned: its seed files are not looked at."""
    return _hold(config, verbose, say, lambda job: job.planned())


def _hold(config: RunConfig, verbose: bool, say: Say, plan: Callable[[_Run], PlanIndex]) -> dict[str, Any]:
    strategy = check(config)
    store = open_store(config.output, config.storage)
    holder = lease.acquire(store)
    try:
        patient = store.patient(config.limits.storage_seconds)
        job = _Run(config, strategy, patient, holder.lease, verbose, say)
        return job.complete(plan(job))
    finally:
        holder.release()


@dataclass
class _Run:
    config: RunConfig
    strategy: Strategy
    store: Store
    lease: lease.Lease
    verbose: bool
    say: Say

    def plan(self) -> PlanIndex:
        """Settle the settings, then plan what the seed files hold and the plan does not."""
        self._settle_settings()
        return make_plan(self.store, seed_source(self.config), self._fanout())

    def planned(self) -> PlanIndex:
        """Settle the settings and read the plan as it is. Raises OutputError where there is none."""
        self._settle_settings()
        plan = load_index(self.store)
        if plan is None:
            raise OutputError(f"{self.store.url}: there is no run here (no plan)")
        return plan

    def complete(self, plan: PlanIndex) -> dict[str, Any]:
        """Work off what is pending until nothing is."""
        found, repairs = reconcile(self.store, plan.rows)
        done = found.done(plan.rows)
        self.say(f"plan: {plan.seeds:,} seeds, {plan.rows:,} rows, {int(done.sum()):,} done ({repairs})")
        with StopRequest().listening() as request:
            while not done.all():
                self.store.delete([report.SUCCESS])
                before = int(done.sum())
                self._execute(plan, found, request)
                found, repairs = reconcile(self.store, plan.rows)
                done = found.done(plan.rows)
                if int(done.sum()) == before:
                    raise PoolError("a whole pass over the pending rows has committed none of them")
        return self._finish(plan, found)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that change results."""
        return result_settings(self.config, self.strategy)

    @property
    def run_id(self) -> str:
        """The digest of the settings."""
        return fingerprint(self.settings)

    def _settle_settings(self) -> None:
        """Refuse settings that give other results than those the output was begun with; record these.

        An output is begun once rows are planned: until then, as after seeds that cannot be read, any settings do.
        """
        if self.store.exists(INDEX):
            before = report.read_json(self.store, report.RUN)["result_settings"]
            if lines := changes(before, self.settings):
                raise SettingsChanged(
                    f"{self.store.url}: this output was begun with other settings; use them, or another output\n"
                    + "\n".join(f"  {line}" for line in lines)
                )
        content = {
            "run_id": self.run_id,
            "result_settings": self.settings,
            "configuration": self.config.model_dump(mode="json", exclude={"storage": True, "seeds": {"storage"}}),
            "versions": report.versions(),
        }
        self.store.write_bytes(report.RUN, json.dumps(content, indent=1).encode())

    def _fanout(self) -> Fanout:
        config = self.config
        weights = {name: evolver.weight for name, evolver in config.evolvers.items()}
        return Fanout(weights, config.sharing == "split", config.samples, self.strategy.fingerprint(), config.seed)

    def _labels(self) -> RunLabels:
        config = self.config
        constants: dict[str, str | None] = {"run_id": self.run_id, "strategy": config.strategy.kind}
        constants["scorer_model"] = config.scorer.model if config.scorer else None
        if isinstance(config.responder, PoolResponderConfig):
            constants["responder_model"] = config.responder.engine.model
        return RunLabels(constants, {name: evolver.engine.model for name, evolver in config.evolvers.items()})

    def _execute(self, plan: PlanIndex, found: Manifest, request: StopRequest) -> None:
        """One pass over everything that is pending."""
        done = found.done(plan.rows)
        blocks = {
            name: pending_blocks([file for file in plan.files if file.evolver == name], done, rows)
            for name, rows in self._block_rows().items()
        }
        unreadable = blocks.pop(UNREADABLE)
        pending = Pending({name: ones for name, ones in blocks.items() if ones}, unreadable)
        pools = pool_configs(self.config)
        with cluster(self.config, self.verbose):
            board = Board.create(pools)
            sink = PartsSink(self.store, self.lease, self._labels(), board)

            def stream() -> None:
                configure_data(self.config, self.verbose)
                synthesize(self.config, self.strategy, self.store, pending, board).write_datasink(sink)

            watchdog = Watchdog(self.config.limits, {name: pool.bounds[1] for name, pool in pools.items()})
            execution = Execution(stream)
            execution.start()
            with make_display(_totals(pending, pools), plan.rows, int(done.sum())) as display:
                saver = _Saver(self.store, self.lease.number, display)
                try:
                    watch(execution, board, watchdog, request, saver.show)
                except RayError as error:
                    cause = _root_cause(error)
                    # a write task's StorageError or LeaseLost keeps its own meaning
                    raise cause if isinstance(cause, JobError) else PoolError(_named(cause)) from error
                finally:
                    saver.save()

    def _block_rows(self) -> dict[str, int]:
        return {name: evolver.pool.batch_rows for name, evolver in self.config.evolvers.items()} | {UNREADABLE: 1024}

    def _finish(self, plan: PlanIndex, found: Manifest) -> dict[str, Any]:
        result = report.make_report(self.config, self.run_id, plan, found, report.load_sessions(self.store))
        self.store.write_bytes(report.REPORT, json.dumps(result, indent=1).encode())
        report.write_card(self.store, result, self.config)
        self.store.write_bytes(report.SUCCESS, b"")
        return result


class _Saver:
    """Shows snapshots, and writes the session down every half minute, so that a kill leaves its figures."""

    def __init__(self, store: Store, number: int, display: Display) -> None:
        self._store, self._number, self._display = store, number, display
        self._started, self._saved = datetime.now(UTC), time.monotonic()
        self._latest: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        self._latest = snapshot
        self._display.show(snapshot)
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        if self._latest:
            report.Session.of(self._number, self._started, self._latest).save(self._store)


def _totals(pending: Pending, pools: dict[str, Any]) -> dict[str, int]:
    """The rows before each pool: an evolver's own, and all of them for the pools behind."""
    rows = {
        pool_name(name): sum(len(one.places) for block in blocks for one in block)
        for name, blocks in pending.evolvers.items()
    }
    return {name: rows.get(name, 0) if name.startswith(pool_name("")) else sum(rows.values()) for name in pools}


def _root_cause(error: BaseException) -> BaseException:
    """What a worker really raised: the error of ours, or else the innermost, in a chain of Ray's errors."""
    if isinstance(error, JobError) and not isinstance(error, RayError):
        return error
    cause = getattr(error, "cause", None) or error.__cause__
    return _root_cause(cause) if isinstance(cause, BaseException) else error


def _named(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
