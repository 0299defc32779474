"""One run on one output, from configuration to success marker; the same call begins a run and resumes it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from ray.exceptions import RayError

from ray_jobs import lease, report
from ray_jobs.board import Board, Snapshot
from ray_jobs.budget import Budget, spent_by
from ray_jobs.cluster import cluster, configure_data
from ray_jobs.compact import join_parts, small_parts
from ray_jobs.config import PoolConfig
from ray_jobs.epochs import Epoch, begin
from ray_jobs.errors import BudgetSpent, ClusterError, JobError, OutputError, PoolError, Stopped, StorageError
from ray_jobs.first_version import FORMAT
from ray_jobs.job import Pending, PooledJob
from ray_jobs.metrics import RunMetrics
from ray_jobs.output_names import REPORT, RUN, SEARCH
from ray_jobs.parts import PartsSink
from ray_jobs.plan import PlanWriter
from ray_jobs.plan_index import UNREADABLE, PlanIndex
from ray_jobs.plan_source import fitting_rows, pending_blocks
from ray_jobs.pools import blocks_at_once, lacking, logical_cpus
from ray_jobs.preflight import refuse_changes
from ray_jobs.progress import Display, make_display
from ray_jobs.queues import Queues
from ray_jobs.ray_errors import job_error
from ray_jobs.settings import fingerprint
from ray_jobs.storage import open_store
from ray_jobs.watch import Execution, StopRequest, Watchdog, watch

UNREADABLE_BLOCK_ROWS = 1024
SAVE_SECONDS = 30.0
WRITER_CPUS, WRITERS = 0.25, 6
"""The logical CPUs of a write task, and how many run at once.

On a cluster with few CPUs a task that asks for a whole one waits until an evolver has ended, for Ray Data shares out
what the pools leave. Rows that are scored and not written are what a kill costs.
"""
Say = Callable[[str], None]


def run(job: PooledJob, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """Begin or resume the run of `job`, and return its report once every planned row has an outcome.

    Raises SeedError, StorageError, OutputError where another run is at work or the settings have changed, PoolError,
    Stopped after SIGINT or SIGTERM, and BudgetSpent; whatever was finished by then is committed.
    """
    return _hold(job, verbose, say, lambda run: run.plan())


def resume(job: PooledJob, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """As `run`, for an output that is planned: its seed files are not looked at."""
    return _hold(job, verbose, say, lambda run: run.planned())


def _hold(job: PooledJob, verbose: bool, say: Say, plan: Callable[[_Run], PlanIndex]) -> dict[str, Any]:
    job.check_machine(say)
    store = open_store(job.config.output, job.config.storage)
    holder = lease.acquire(store)
    try:
        with StopRequest().listening() as request:
            # heartbeats cannot wait for a store that is away; everything else can
            epoch = begin(store.patient(job.config.limits.storage_seconds), holder.lease)
            one = _Run(job, epoch, holder, request, verbose, say)
            return one.complete(plan)
    finally:
        holder.release()


@dataclass
class _Run:
    job: PooledJob
    epoch: Epoch
    holder: lease.LeaseHolder
    request: StopRequest
    verbose: bool
    say: Say

    def plan(self) -> PlanIndex:
        """Plan what is not planned yet."""
        return self.job.plan(PlanWriter(self.epoch, self._may_go_on))

    def planned(self) -> PlanIndex:
        """The plan as it is. Raises OutputError where there is none."""
        plan = self.epoch.accepted.plan
        if plan is None:
            raise OutputError(f"{self.epoch.store.url}: there is no run here (no plan)")
        return plan

    def complete(self, plan_with: Callable[[_Run], PlanIndex]) -> dict[str, Any]:
        """Put right what earlier runs left, plan, work off what is pending, and publish it, whatever ends the work."""
        repairs = self.epoch.clean()
        self._settle_settings()
        plan = plan_with(self)
        done = self.epoch.accepted.manifest.done(plan.rows)
        left_alone = f"{plan.held_out:,} held out, " if plan.held_out else ""
        rows = f"{plan.rows:,} rows, {int(done.sum()):,} done ({repairs})"
        self.say(f"plan: {plan.seeds:,} seeds, {left_alone}{rows}")
        try:
            self._work_off(plan)
        except (Stopped, PoolError, ClusterError):
            self._publish_what_is_done()
            raise
        self._join(self._may_go_on)
        return self._finish(plan)

    def _work_off(self, plan: PlanIndex) -> None:
        executions, done = 0, self.epoch.accepted.manifest.done(plan.rows)
        while not done.all():
            self._may_go_on()
            self.epoch.unmark()
            executions += 1
            self._execute(plan, done, executions)
            before = int(done.sum())
            done = self.epoch.refresh().manifest.done(plan.rows)
            if int(done.sum()) == before:
                raise PoolError("a whole pass over the pending rows has committed none of them")

    def _may_go_on(self) -> None:
        """Raise LeaseLost, or Stopped where the run was asked to stop: it may not, or need not, write any more."""
        self.holder.check()
        self.request.check()

    def _settle_settings(self) -> None:
        """Refuse settings that give other results than those the output was begun with; record these.

        An output is begun once rows are planned: until then, as after seeds that cannot be read, any settings do.
        """
        settings, store = self.job.settings(), self.epoch.store
        if store.exists(SEARCH):
            raise OutputError(f"{store.url}: this is the output of a search; give the run one of its own")
        refuse_changes(store, self.epoch.accepted, settings)
        content = {
            "format": FORMAT,
            "job": self.job.kind,
            "run_id": fingerprint(settings),
            "records_per_row": self.job.records_per_row,
            "result_settings": settings,
            "configuration": self.job.config.model_dump(mode="json", exclude={"storage": True, "seeds": {"storage"}}),
            "versions": report.versions(),
        }
        self.epoch.publish(RUN, json.dumps(content, indent=1).encode())
        self.epoch.settle(settings)

    def _pending(self, plan: PlanIndex, done: npt.NDArray[np.bool_]) -> Pending:
        wanted = blocks_at_once(self.job.pools().values())
        blocks = {}
        for name, rows in {**self.job.block_rows(), UNREADABLE: UNREADABLE_BLOCK_ROWS}.items():
            files = [file for file in plan.files if file.evolver == name]
            left = sum(int((~done[file.first : file.first + file.rows]).sum()) for file in files)
            blocks[name] = pending_blocks(files, done, fitting_rows(rows, left, wanted))
        unreadable = blocks.pop(UNREADABLE)
        return Pending({name: ones for name, ones in blocks.items() if ones}, unreadable)

    def _execute(self, plan: PlanIndex, done: npt.NDArray[np.bool_], number: int) -> None:
        """Pass number `number` over everything that is pending."""
        job, limits = self.job, self.job.config.limits
        pending, pools = self._pending(plan, done), job.pools()
        budget = Budget(limits, pools, spent_by(report.load_sessions(self.epoch.store)))
        budget.check_start()
        # connecting to Ray puts a signal handler of its own in place of ours
        with cluster(job.config.ray, logical_cpus(pools.values()), self.verbose), self.request.listening():
            board = Board.create(pools)
            store = self.epoch.store
            sink = PartsSink(store, self.epoch.lease, job.layout(fingerprint(job.settings())), board)

            def stream() -> None:
                configure_data(limits, self.verbose)
                rows = job.stream(store, pending, board)
                rows.write_datasink(sink, ray_remote_args={"num_cpus": WRITER_CPUS}, concurrency=WRITERS)

            sizes = {name: pool.bounds[1] for name, pool in pools.items()}
            watchdog = Watchdog(limits, sizes, lambda: lacking(pools))
            execution = Execution(stream)
            execution.start()
            queues = Queues.of(pools, job.block_rows())
            with make_display(job.pool_rows(pending), plan.rows, int(done.sum()), queues) as display:
                metrics = RunMetrics(fingerprint(job.settings()), plan.rows, int(done.sum()))
                saver = _Saver(self.holder.lease, number, pools, display, metrics)

                def show(snapshot: Snapshot) -> None:
                    saver.show(snapshot)
                    try:
                        budget.check(snapshot)
                    except BudgetSpent as spent:
                        self.request.ask(spent)

                try:
                    watch(execution, board, watchdog, self.request, show, self.holder.check)
                except RayError as error:
                    raise _job_error(error, saver.latest) from error
                finally:
                    execution.end()
                    saver.save()

    def _join(self, may_go_on: Callable[[], None]) -> None:
        """Join small parts and publish staged ones, while no task writes."""
        # Ray's own signal handler may have stayed
        with self.request.listening():
            while small := small_parts(self.epoch.refresh().parts):
                joined = join_parts(self.epoch, small, may_go_on)
                self.say(f"{len(small):,} parts joined into {joined:,}")

    def _publish_what_is_done(self) -> None:
        """Let plain readers see what is committed, though the run ends before it is finished."""
        try:
            self._join(self.holder.check)
        except JobError as error:
            self.say(f"what is committed is not joined, which the next run does: {error}")

    def _finish(self, plan: PlanIndex) -> dict[str, Any]:
        store, found = self.epoch.store, self.epoch.accepted.manifest
        labels = self.job.labels(fingerprint(self.job.settings()))
        sessions = report.load_sessions(store)
        result = report.make_report(plan, self.job.records_per_row, labels, found, sessions)
        result |= self.job.summary(store, found)
        documents = {REPORT: json.dumps(result, indent=1).encode(), **self.job.documents(store, result)}
        for path, content in documents.items():
            self.epoch.publish(path, content)
        self.epoch.finish()
        return result


class _Saver:
    """Shows and exports snapshots, and writes the session down every half minute, so that a kill leaves its figures."""

    def __init__(
        self,
        held: lease.Lease,
        execution: int,
        pools: Mapping[str, PoolConfig],
        display: Display,
        metrics: RunMetrics,
    ) -> None:
        self._lease, self._execution, self._pools = held, execution, pools
        self._display, self._metrics = display, metrics
        self._started, self._saved = datetime.now(UTC), time.monotonic()
        self.latest: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        self.latest = snapshot
        self._display.show(snapshot)
        self._metrics.show(snapshot)
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        # figures about the run, which must neither end it nor keep its watch waiting
        with suppress(StorageError):
            if self.latest:
                session = report.Session.of(self._lease.number, self._started, self.latest, self._pools)
                session.save(self._lease.store, self._execution)


def _job_error(error: RayError, latest: Snapshot | None) -> JobError:
    """The error of ours that ends the run; a write task's StorageError or LeaseLost keeps its own meaning."""
    known = job_error(error)
    for name, pool in latest.pools.items() if latest else ():
        if pool.cause and type(known) is PoolError:
            return PoolError(f"pool {name}: {pool.cause}")
    return known
