"""AutoIF, phase by phase: each a job with an output of its own, planned from what the one before has kept.

constraints ──► OUTPUT/augment ──────► OUTPUT/instructions ───────► OUTPUT
                new instructions       functions, cases, NLI        responses, quality, pairs
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ray_jobs.config.pool_names import NLI, QUALITY, RESPOND
from ray_jobs.jobs.autoif import funnel
from ray_jobs.jobs.autoif.actors import AnswerActor, AugmentActor, ExamineActor, NliActor, QualityActor
from ray_jobs.jobs.autoif.classifier import ClassifierActor
from ray_jobs.jobs.autoif.config import AutoIFConfig, ClassifierConfig
from ray_jobs.jobs.autoif.earlier_preset import as_begun
from ray_jobs.jobs.autoif.phase import Phase
from ray_jobs.jobs.autoif.planning import Planner
from ray_jobs.jobs.autoif.preparation import guards, prepare
from ray_jobs.jobs.autoif.stores import AUGMENT, INSTRUCTIONS, funnel_of
from ray_jobs.jobs.stages import scoring
from ray_jobs.jobs.thinking import told
from ray_jobs.output.card import shown_model
from ray_jobs.output.manifest import Manifest
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.stage import Pipeline, Stage
from ray_jobs.storage.store import Store


def autoif_jobs(run: AutoIFConfig) -> list[Phase]:
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
        told(say, self.set_back, self.run)
        for name, value in self.prepared.before.items():
            say(f"strategy.{name}: {json.dumps(value)}, as the preset had it when this output was begun")

    def plan_with(self, planner: Planner) -> PlanIndex:
        """One row a call."""
        return planner.calls(self.prepared.constraints, list(self.run.evolvers), self.prepared.rules.augment_calls)

    @property
    def pipeline(self) -> Pipeline:
        """Plan, ask."""
        return Pipeline(tuple(self.run.evolvers), tuple(self.evolving(AugmentActor)))

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

    @property
    def pipeline(self) -> Pipeline:
        """Plan, examine, compare."""
        return Pipeline(tuple(self.run.evolvers), (*self.evolving(ExamineActor), *self._comparing()))

    def _comparing(self) -> list[Stage]:
        nli = self.run.nli
        if not self.prepared.rules.nli:
            return []
        if isinstance(nli, ClassifierConfig):
            return [Stage(NLI, "nli", ClassifierActor, nli, nli.pool)]
        return [self.judging(NLI, NliActor)]

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
        return planner.answers(source, queries, self.prepared.rules, self.run.seed, self.run.seeds.gone)

    @property
    def pipeline(self) -> Pipeline:
        """Plan, respond and verify, judge, score; one pool answers, whoever made the instructions."""
        run = self.run
        labels = {"responder_model": run.responder.engine.label}
        respond = self.stage(RESPOND, "responder", AnswerActor, run.responder, labels=labels)
        judge = [self.judging(QUALITY, QualityActor)] if self.prepared.rules.quality else []
        return Pipeline(tuple(run.evolvers), (respond, *judge, *scoring(run.scorer)))

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:  # noqa: ARG002
        """The whole funnel."""
        return {
            "funnel": funnel_of(self.store_of(INSTRUCTIONS))
            + funnel.as_plain(funnel.of_answers(found.outcome_counts()))
        }

    def description(self) -> tuple[str, str]:
        """Evolvers and responder."""
        evolvers = ", ".join(
            f"`{name}` (`{shown_model(evolver.engine.label)}`)" for name, evolver in self.run.evolvers.items()
        )
        return (
            "Instructions that code can check, with responses",
            f"Made by AutoIF with the constants `{self.run.strategy.preset}`. Instructions by {evolvers}. "
            f"Answered by `{shown_model(self.run.responder.engine.label)}`.",
        )
