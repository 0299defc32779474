"""AutoIF, phase by phase: each a job with an output of its own, planned from what the one before has kept.

constraints ──► OUTPUT/augment ──────► OUTPUT/instructions ───────► OUTPUT
                new instructions       functions, cases, NLI        responses, quality, pairs
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ray.data import Dataset

from ray_jobs.config.pool_names import RESPOND, SCORE
from ray_jobs.config.run import PoolConfig
from ray_jobs.jobs.autoif import funnel
from ray_jobs.jobs.autoif.actors import AnswerActor, AugmentActor, ExamineActor, NliActor, QualityActor
from ray_jobs.jobs.autoif.begun import as_begun
from ray_jobs.jobs.autoif.classifier import ClassifierActor, ClassifierJob
from ray_jobs.jobs.autoif.config import AutoIFConfig, ClassifierConfig
from ray_jobs.jobs.autoif.phase import Phase
from ray_jobs.jobs.autoif.planning import Planner
from ray_jobs.jobs.autoif.preparation import guards, prepare
from ray_jobs.jobs.autoif.stores import AUGMENT, INSTRUCTIONS, funnel_of
from ray_jobs.jobs.preflight import absolute
from ray_jobs.jobs.thinking import told
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.manifest import Manifest
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.actors import ScoreActor, ScoreJob
from ray_jobs.pipeline.branches import read_plan, union, unreadable_rows
from ray_jobs.pipeline.job import Job, Pending
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.pools import through_pool
from ray_jobs.pipeline.scores import reward_model
from ray_jobs.storage.store import Store

NLI, QUALITY = "nli", "quality"


def autoif_jobs(run: AutoIFConfig) -> list[Job]:
    """The phases of a run, in order: each is to be finished before the next is planned. Raises ConfigError."""
    prepared = prepare(*as_begun(run))
    return [AugmentPhase(prepared), InstructionPhase(prepared), AnswerPhase(prepared)]


class AugmentPhase(Phase):
    """Every evolver is asked for new instructions, again and again."""

    kind = "autoif_augment"
    folder = AUGMENT

    def settings(self) -> dict[str, Any]:
        """Those of the calls."""
        return self.prepared.settings(1)

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Try the sandbox here, before any model is loaded; the actors that use one do so on their machines."""
        say(f"sandbox: {guards(self.prepared.kit)}")
        told(say, self.prepared.begun, self.run)
        for name, value in self.prepared.before.items():
            say(f"strategy.{name}: {json.dumps(value)}, as the preset had it when this output was begun")

    def plan_with(self, planner: Planner) -> PlanIndex:
        """One row a call."""
        return planner.calls(self.prepared.constraints, list(self.run.evolvers), self.prepared.rules.augment_calls)

    def stream(self, store: Store, pending: Pending, monitor: Monitor) -> Dataset:
        """Plan, ask."""
        return self.evolved(store, pending, AugmentActor, monitor)

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:
        """The funnel as far as it goes."""
        return {"funnel": funnel.as_plain(funnel.of_calls(store, found))}

    def description(self) -> tuple[str, str]:
        """What the records are."""
        return "New instructions", "One record a call: the instructions that a model thought of, one a line."


class InstructionPhase(Phase):
    """Every instruction gets functions, which must agree with each other and with what they are described as."""

    kind = "autoif_instructions"
    folder = INSTRUCTIONS

    def settings(self) -> dict[str, Any]:
        """Those of the first two phases."""
        return self.prepared.settings(2)

    def plan_with(self, planner: Planner) -> PlanIndex:
        """One row an instruction and evolver."""
        prepared, source = self.prepared, self.store_of(AUGMENT)
        return planner.instructions(
            source, prepared.constraints, list(self.run.evolvers), self.run.strategy.near_duplicate
        )

    def pools(self) -> dict[str, PoolConfig]:
        """The evolvers, and what labels back-translations."""
        model = self.run.nli if isinstance(self.run.nli, ClassifierConfig) else self.run.judge
        return super().pools() | ({NLI: model.pool} if model and self.prepared.rules.nli else {})

    def stream(self, store: Store, pending: Pending, monitor: Monitor) -> Dataset:
        """Plan, examine, compare."""
        rows = self.evolved(store, pending, ExamineActor, monitor)
        if not self.prepared.rules.nli:
            return rows
        if isinstance(self.run.nli, ClassifierConfig):
            job = ClassifierJob(NLI, absolute(self.run.nli), monitor)
            return through_pool(rows, NLI, ClassifierActor, job, self.run.nli.pool)
        assert self.run.judge is not None, "the configuration says so"
        return self.through(rows, NLI, NliActor, self.run.judge, monitor)

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:
        """The funnel as far as it goes."""
        return {"funnel": funnel_of(self.store_of(AUGMENT)) + funnel.as_plain(funnel.of_instructions(store, found))}

    def description(self) -> tuple[str, str]:
        """What the records are."""
        return "Verifiable instructions", "One record an instruction that code can check; `output` holds its functions."


class AnswerPhase(Phase):
    """Instructions meet queries; responses that pass become records, and pairs with those that do not."""

    kind = "autoif"

    @property
    def records_per_row(self) -> int:
        """One a response."""
        return self.prepared.rules.responses

    def settings(self) -> dict[str, Any]:
        """Those of all phases."""
        return self.prepared.settings(3)

    def plan_with(self, planner: Planner) -> PlanIndex:
        """One row an instruction and query."""
        source, queries = self.store_of(INSTRUCTIONS), self.seed_source()
        return planner.answers(source, queries, self.prepared.rules, self.run.seed)

    def pools(self) -> dict[str, PoolConfig]:
        """The responder; the judge and the scorer where there is one."""
        run, pools = self.run, {RESPOND: self.run.responder.pool}
        if self.prepared.rules.quality and run.judge:
            pools[QUALITY] = run.judge.pool
        if run.scorer:
            pools[SCORE] = run.scorer.pool
        return pools

    def block_rows(self) -> dict[str, int]:
        """What the responder's pool is configured to, whoever made the instructions."""
        return dict.fromkeys(self.run.evolvers, self.run.responder.pool.batch_rows)

    def stream(self, store: Store, pending: Pending, monitor: Monitor) -> Dataset:
        """Plan, respond and verify, judge, score."""
        run = self.run
        rows = union(read_plan(store, name, blocks) for name, blocks in pending.branches.items())
        if rows:
            rows = self.through(rows, RESPOND, AnswerActor, run.responder, monitor)
        if rows and self.prepared.rules.quality and run.judge:
            rows = self.through(rows, QUALITY, QualityActor, run.judge, monitor)
        if rows and run.scorer:
            rows = through_pool(
                rows, SCORE, ScoreActor, ScoreJob(SCORE, absolute(run.scorer), monitor), run.scorer.pool
            )
        finished = union(item for item in (rows, unreadable_rows(store, pending)) if item)
        assert finished is not None, "a stream is asked for only while rows are pending"
        return finished

    def labels(self, run_id: str) -> RunLabels:
        """Also responder, scorer and its reward model."""
        labels, scorer = super().labels(run_id), self.run.scorer
        models = {"responder_model": self.run.responder.engine.model, "scorer_model": scorer.model if scorer else None}
        models["reward_model"] = reward_model(scorer)
        return RunLabels({**labels.constants, **models}, labels.evolver_models)

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:  # noqa: ARG002
        """The whole funnel."""
        return {
            "funnel": funnel_of(self.store_of(INSTRUCTIONS))
            + funnel.as_plain(funnel.of_answers(found.outcome_counts()))
        }

    def description(self) -> tuple[str, str]:
        """Evolvers and responder."""
        evolvers = ", ".join(f"`{name}` (`{evolver.engine.model}`)" for name, evolver in self.run.evolvers.items())
        return (
            "Instructions that code can check, with responses",
            f"Made by AutoIF with the constants `{self.run.strategy.preset}`. Instructions by {evolvers}. "
            f"Answered by `{self.run.responder.engine.model}`.",
        )
