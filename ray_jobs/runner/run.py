"""One run on one output, from configuration to success marker; the same call begins a run and resumes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.exceptions import RayError

from evolve.masking import mask_url
from ray_jobs.config.identity import fingerprint
from ray_jobs.config.trackers import TrackedRun
from ray_jobs.errors import JobError, PoolError, StorageError
from ray_jobs.output import lease, ownership, run_files
from ray_jobs.output.epochs import Epoch, begin, check_store
from ray_jobs.output.plan_index import UNREADABLE, PlanIndex
from ray_jobs.output.schema import KEPT
from ray_jobs.pipeline.job import PooledJob
from ray_jobs.pipeline.journal import JournalPlace, interval
from ray_jobs.pipeline.monitor import Monitor, Snapshot
from ray_jobs.pipeline.placement import Placement
from ray_jobs.pipeline.plan_source import Pending, fitting_rows, pending_blocks
from ray_jobs.pipeline.pools import blocks_at_once, logical_cpus, unschedulable, without_autoscaler
from ray_jobs.pipeline.queues import Queues
from ray_jobs.pipeline.sink import PartsSink
from ray_jobs.pipeline.stage import Stage
from ray_jobs.pipeline.stream import stream
from ray_jobs.runner.address import check_address, starts_here
from ray_jobs.runner.budget import Budget, spent_by
from ray_jobs.runner.cluster import cluster, configure_data
from ray_jobs.runner.displays import make_display
from ray_jobs.runner.drive import Drive, Say
from ray_jobs.runner.journal import kept_short
from ray_jobs.runner.metrics import RunMetrics, figures
from ray_jobs.runner.progress import Work
from ray_jobs.runner.ray_errors import pool_error
from ray_jobs.runner.ray_log import kept_apart, with_log_folder
from ray_jobs.runner.servers import check_servers
from ray_jobs.runner.sessions import SessionLog
from ray_jobs.runner.signals import StopRequest
from ray_jobs.runner.told import Told
from ray_jobs.runner.tracking import Tracking
from ray_jobs.runner.watch import Execution, Observer, watch
from ray_jobs.runner.watchdog import Watchdog
from ray_jobs.storage.store import Store, open_store

UNREADABLE_BLOCK_ROWS = 1024
WRITER_CPUS, WRITERS, ROWS_A_WRITER = 0.25, 6, 1024
"""The logical CPUs of a write task, and how many run at once: fewer where there are not so many rows for each.

On a cluster with few CPUs a task that asks for a whole one waits until an evolver has ended, for Ray Data shares out
what the pools leave. Rows that are scored and not written are what a kill costs.
"""


def run(job: PooledJob, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """Begin or resume the run of `job`, and return its report once every planned row has an outcome.

    Raises SeedError, StorageError, OutputError where another run is at work or the settings have changed, PoolError,
    Stopped after SIGINT or SIGTERM, and BudgetSpent; whatever was finished by then is committed.
    """
    return _hold(job, verbose, say, plans=True)


def resume(job: PooledJob, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """As `run`, for an output that is planned: its seed files are not looked at."""
    return _hold(job, verbose, say, plans=False)


def _hold(job: PooledJob, verbose: bool, say: Say, plans: bool) -> dict[str, Any]:
    job.check_machine(say)
    check_address(job.config.ray)
    if starts_here(job.config.ray.address) and not ray.is_initialized():
        # the machines of a cluster may reach what this one does not
        check_servers(job.pipeline.stages)
    store = open_store(job.config.output, job.config.storage)
    ownership.claim(store, job.holds)
    holder = lease.acquire(store)
    try:
        return _work(job, store, holder, verbose, say, plans)
    except JobError as error:
        # a store that does not take it has ended the run, or would
        with suppress(StorageError):
            run_files.note_end(store, holder.lease.number, str(error))
        raise
    finally:
        holder.release()


def _work(
    job: PooledJob, store: Store, holder: lease.LeaseHolder, verbose: bool, say: Say, plans: bool
) -> dict[str, Any]:
    with StopRequest().listening() as request:
        # heartbeats cannot wait for a store that is away; everything else can
        retrying = store.retrying(job.config.limits.storage_seconds)
        check_store(retrying, holder.lease.tag, say)
        epoch = begin(retrying, holder.lease)
        run = _Run(job, epoch, holder, request, verbose, say)
        return Drive(job, epoch, run.execute, holder.check, run.may_go_on, say).complete(plans)


@dataclass
class _Run:
    """The engines' share of a run."""

    job: PooledJob
    epoch: Epoch
    holder: lease.LeaseHolder
    request: StopRequest
    verbose: bool
    say: Say

    def may_go_on(self) -> None:
        """Raise LeaseLost, or Stopped where the run was asked to stop: it may not, or need not, write any more."""
        self.holder.check()
        self.request.check()

    def _pending(self, plan: PlanIndex, done: npt.NDArray[np.bool_]) -> Pending:
        pipeline = self.job.pipeline
        wanted = blocks_at_once(pipeline.pools().values())
        blocks = {}
        for name, rows in {**pipeline.block_rows(), UNREADABLE: UNREADABLE_BLOCK_ROWS}.items():
            files = [file for file in plan.files if file.evolver == name]
            left = sum(int((~done[file.first : file.first + file.rows]).sum()) for file in files)
            blocks[name] = pending_blocks(files, done, fitting_rows(rows, left, wanted))
        unreadable = blocks.pop(UNREADABLE)
        return Pending({name: found for name, found in blocks.items() if found}, unreadable)

    def _journal(self, stage: Stage) -> JournalPlace | None:
        seconds = interval(self.job.config.limits, stage.model)
        if seconds is None:
            return None
        # a cache, for which nothing waits
        store = open_store(self.job.config.output, self.job.config.storage)
        return JournalPlace(store, self.epoch.lease.tag, fingerprint(self.job.settings()), stage.name, seconds)

    def execute(self, plan: PlanIndex, done: npt.NDArray[np.bool_], number: int) -> None:
        """Pass number `number` over everything that is pending."""
        job, limits, pipeline = self.job, self.job.config.limits, self.job.pipeline
        pending, pools = self._pending(plan, done), pipeline.pools()
        already = int(done.sum()) - len(plan.retracted)
        sessions = run_files.load_sessions(self.epoch.store)
        budget = Budget(limits, pools, spent_by(sessions), self.request.ask)
        budget.check_start()
        # a cluster of our own never grows, and cannot tell so as early
        alone = starts_here(job.config.ray.address) and not ray.is_initialized()
        self.say(f"starting Ray, then the pools {', '.join(pools)}")
        with kept_apart(self.verbose), cluster(job.config.ray, logical_cpus(pools.values()), self.verbose):
            monitor = Monitor.create(pools)
            placements = {stage.name: Placement(stage.name, stage.pool.shapes) for stage in pipeline.stages}
            execution = Execution(self._stream(pending, monitor, placements))
            execution.start()
            last_time = run_files.ready_last_time(sessions)
            work = Work(pipeline.passing(pending.rows()), plan.asked_rows, already, Queues.of(pipeline), last_time)
            first = [stage.name for stage in pipeline.first]
            tracked = TrackedRun(fingerprint(job.settings()), job.kind, mask_url(job.config.output), job.settings())

            def read(snapshot: Snapshot) -> dict[str, float]:
                return figures(snapshot, plan.asked_rows, already, budget.shares(snapshot))

            tracking = Tracking(job.config.trackers, tracked, read, work.totals, self.say)
            with make_display(work) as display, tracking:
                session = SessionLog(self.holder.lease, number)
                metrics = RunMetrics(fingerprint(job.settings()), plan.asked_rows, already, budget.shares)
                sizes = {name: pool.bounds[1] for name, pool in pools.items()}
                lacking = partial(unschedulable, pools)
                proven = bool(self.epoch.accepted.manifest.outcome_counts().by_status()[KEPT])
                hopeless = lacking if alone else partial(without_autoscaler, pools)
                watchdog = Watchdog(limits, sizes, lacking, hopeless, proven)
                observers: list[Observer] = [session, display, metrics, budget, Told(self.say), tracking]
                observers += placements.values()
                try:
                    with kept_short(self.epoch.store.retrying(0), done, monitor, self.holder.check):
                        watch(execution, monitor, observers, watchdog, self.request, self.holder.check, first)
                except RayError as error:
                    raise _with_log(pool_error(error, session.latest)) from error
                except PoolError as error:
                    raise _with_log(error) from None
                finally:
                    execution.end()
                    session.save()
                    for placement in placements.values():
                        placement.close()

    def _stream(self, pending: Pending, monitor: Monitor, placements: Mapping[str, Placement]) -> Callable[[], None]:
        """What runs in the execution's thread."""
        job, store = self.job, self.epoch.store
        writers = min(WRITERS, 1 + sum(pending.rows().values()) // ROWS_A_WRITER)
        sink = PartsSink(store, self.epoch.lease, job.layout(fingerprint(job.settings())), monitor)

        def work() -> None:
            configure_data(job.config.limits, self.verbose)
            rows = stream(job.pipeline, store, pending, monitor, placements, self._journal)
            rows.write_datasink(sink, ray_remote_args={"num_cpus": WRITER_CPUS}, concurrency=writers)

        return work


def _with_log(error: JobError) -> JobError:
    if isinstance(error, PoolError):
        error.args = (with_log_folder(str(error)),)
    return error
