"""Working an output off, from what earlier runs left to the mark of a finished run: all of a run but its engines.

`execute` is the one step that needs them: it works on rows that are pending and commits what it finishes. Everything
else is here, and runs in tests without a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_jobs.config.identity import fingerprint
from ray_jobs.errors import JobError, LeaseLost, OutputError, PoolError, SeedsChanged, StorageError
from ray_jobs.output import run_files
from ray_jobs.output.begun_with import refuse_changes
from ray_jobs.output.epochs import Epoch, Repairs
from ray_jobs.output.examples import reason_examples
from ray_jobs.output.file_names import REPORT, RUN, SEARCH
from ray_jobs.output.first_version import FORMAT
from ray_jobs.output.join import join_parts, small_parts
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.replies import remove_done
from ray_jobs.output.retry import drop_retracted_rows
from ray_jobs.pipeline.job import PooledJob
from ray_jobs.runner.report import make_report
from ray_jobs.runner.useful import check_useful

Say = Callable[[str], None]
Done = npt.NDArray[np.bool_]
Execute = Callable[[PlanIndex, Done, int], None]
"""Takes the plan, which of its rows are done, and how many times it was called before, from 1."""


@dataclass(frozen=True)
class Drive:
    """One job on one output in one epoch.

    `still_held` raises LeaseLost, `may_go_on` also Stopped where the run was asked to stop.
    """

    job: PooledJob
    epoch: Epoch
    execute: Execute
    still_held: Callable[[], None]
    may_go_on: Callable[[], None]
    say: Say

    def complete(self, plans: bool = True) -> dict[str, Any]:
        """Put right what earlier runs left, plan, work off what is pending, publish it, and return the report.

        Without `plans` the plan is taken as it is. What is committed, by earlier runs too, is published whatever ends
        planning and work, unless that is the store, another run, seeds that are gone or a kill.
        """
        repairs = self.epoch.clean()
        self._settle_settings()
        try:
            plan = self.job.plan(PlanWriter(self.epoch, self.may_go_on)) if plans else self._planned()
            self._drop_retracted(plan)
            done = plan.settled(self.epoch.accepted.manifest.done(plan.rows))
            self.say(_described(plan, int(done.sum()) - len(plan.retracted), repairs))
            self._work_off(plan, done)
        except (StorageError, LeaseLost, SeedsChanged):
            raise
        except JobError:
            self._publish_what_is_done()
            raise
        self._join(self.may_go_on)
        return self._finish(plan)

    def _planned(self) -> PlanIndex:
        if self.epoch.accepted.plan is None:
            raise OutputError(f"{self.epoch.store.url}: there is no run here (no plan)")
        return self.epoch.accepted.plan

    def _drop_retracted(self, plan: PlanIndex) -> None:
        if not len(plan.retracted):
            return
        self.epoch.refresh()
        if dropped := drop_retracted_rows(self.epoch):
            self.epoch.refresh()
            self.say(f"{dropped:,} rows taken out, whose seeds are gone")

    def _work_off(self, plan: PlanIndex, done: Done) -> None:
        executions = 0
        self._shorten_journal(done)
        while not done.all():
            self.may_go_on()
            self.epoch.unmark()
            executions += 1
            self.execute(plan, done, executions)
            before = int(done.sum())
            done = plan.settled(self.epoch.refresh().manifest.done(plan.rows))
            self._shorten_journal(done)
            if int(done.sum()) == before:
                raise PoolError("a whole pass over the pending rows has committed none of them")

    def _shorten_journal(self, done: Done) -> None:
        # a cache: nothing waits for it, and what cannot be removed now is removed another time
        with suppress(StorageError):
            remove_done(self.epoch.store.retrying(0), done, self.still_held)

    def _settle_settings(self) -> None:
        """Refuse settings that give other results than those the output was begun with; record these.

        An output is begun once rows are planned: until then, as after seeds that cannot be read, any settings do.
        """
        settings, noted, store = self.job.settings(), self.job.noted(), self.epoch.store
        if store.exists(SEARCH):
            raise OutputError(f"{store.url}: this is the output of a search; give the run one of its own")
        refuse_changes(store, self.epoch.accepted, noted)
        content = {
            "format": FORMAT,
            "job": self.job.kind,
            "run_id": fingerprint(settings),
            "records_per_row": self.job.records_per_row,
            "result_settings": settings,
            "configuration": self.job.config.model_dump(mode="json", exclude={"storage": True, "seeds": {"storage"}}),
            run_files.SET_BACK: sorted(self.job.set_back),
            "pools": {name: {"gpus": pool.gpus_an_actor} for name, pool in self.job.pipeline.pools().items()},
            "versions": run_files.versions(),
        }
        self.epoch.publish(RUN, json.dumps(content, indent=1).encode())
        self.epoch.settle(noted)

    def _join(self, may_go_on: Callable[[], None]) -> None:
        """Join small parts and publish staged ones, while no task writes."""
        while small := small_parts(self.epoch.refresh().parts):
            joined = join_parts(self.epoch, small, may_go_on)
            self.say(f"{len(small):,} parts joined into {joined:,}")

    def _publish_what_is_done(self) -> None:
        """Let plain readers see what is committed, though the run ends before it is finished."""
        try:
            self._join(self.still_held)
        except LeaseLost:
            raise
        except JobError as error:
            self.say(f"what is committed is not joined, which the next run does: {error}")

    def _finish(self, plan: PlanIndex) -> dict[str, Any]:
        store, found = self.epoch.store, self.epoch.accepted.manifest
        labels = self.job.labels(fingerprint(self.job.settings()))
        result = make_report(plan, self.job.records_per_row, labels, found, run_files.load_sessions(store))
        result["reason_examples"] = reason_examples(self.epoch, list(result["reasons"]))
        result |= self.job.summary(store, found)
        documents = {REPORT: json.dumps(result, indent=1).encode(), **self.job.documents(store, result)}
        for path, content in documents.items():
            self.epoch.publish(path, content)
        try:
            check_useful(self.job, self.epoch, plan, result)
        except JobError:
            # an earlier version has marked it as finished, perhaps
            self.epoch.unmark()
            raise
        self.epoch.finish()
        return result


def _described(plan: PlanIndex, done: int, repairs: Repairs) -> str:
    left_alone = f"{plan.held_out:,} held out, " if plan.held_out else ""
    retracted = f"{len(plan.retracted):,} retracted, " if len(plan.retracted) else ""
    return (
        f"plan: {plan.usable_seeds:,} seeds, {left_alone}{plan.asked_rows:,} rows, {retracted}{done:,} done ({repairs})"
    )
