"""What runs inside AutoIF's pools.

Model-written code runs in the sandbox's own processes, which an actor only talks to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from evolve.autoif.augment import augment
from evolve.autoif.examine import Examiner
from evolve.autoif.nli import judge
from evolve.autoif.quality import score_quality
from evolve.autoif.responses import Verified, respond, verify
from evolve.flow import drive
from evolve.records import Answer, Usage
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.jobs.autoif.kit import Kit
from ray_jobs.jobs.autoif.rounds import (
    answered_rounds,
    augmented_round,
    back_translations,
    duplicate_round,
    examined_round,
    pair_up,
    query_of,
    settle_labels,
    settle_quality,
)
from ray_jobs.output.rounds import RoundRow
from ray_jobs.pipeline.actor import Row
from ray_jobs.pipeline.actors import FirstActor, LaterActor, under


class AugmentActor(FirstActor):
    """Asks for new instructions, one call a row."""

    step = "augment"
    _task: Kit

    async def rounds(self, row: Row) -> list[RoundRow]:
        """The one round of a call."""
        rules, kit = self._task.rules, self._task
        engine = under(self._engine, kit.adapters.get(row["evolver"]))
        seeds = row["seed_instruction"].split("\n")
        flow = augment(
            seeds, rules.instructions_a_call, kit.templates.augment, rules.augment_sampling, kit.rng(self.step, row)
        )
        return [augmented_round(await drive(flow, engine))]


class ExamineActor(FirstActor):
    """Takes instructions through verification, cross-validation and back-translation."""

    step = "verify"
    _task: Kit

    def load(self, model: EngineConfig) -> None:
        """Try the sandbox, then load the engine."""
        self._box = self._task.sandbox()
        super().load(model)

    async def rounds(self, row: Row) -> list[RoundRow]:
        """The one round of an instruction."""
        if row["seed_reason"]:
            return [duplicate_round(row)]
        kit = self._task
        engine = under(self._engine, kit.adapters.get(row["evolver"]))
        examiner = Examiner(kit.rules, kit.templates, engine, self._box.check)
        return [examined_round(await examiner.examine(row["seed_instruction"], kit.rng(self.step, row)))]


class AnswerActor(FirstActor):
    """Answers queries under their instructions, and lets the functions look at the responses."""

    step = "respond"
    _task: Kit

    def load(self, model: EngineConfig) -> None:
        """Try the sandbox where functions are to look at responses, then load the engine."""
        self._box = self._task.sandbox() if self._task.rules.response else None
        super().load(model)

    @property
    def rounds_per_row(self) -> int:
        """One a response."""
        return self._task.rules.responses

    async def rounds(self, row: Row) -> list[RoundRow]:
        """Ask for all responses of a row at once, then verify them."""
        kit, rules = self._task, self._task.rules
        context = json.loads(row["context"])
        query = query_of(row, rules.order)
        template, sampling = kit.templates.respond, rules.respond_sampling
        rejecting = (rules.keep_truncated, rules.leaked_reasoning)
        flows = (
            respond(context["instruction"], query, template, sampling, kit.rng(self.step, row, number), *rejecting)
            for number in range(self.rounds_per_row)
        )
        answers = await asyncio.gather(*(drive(flow, self._engine) for flow in flows))
        verified = await asyncio.to_thread(self._verified, answers, context["functions"])
        rounds = answered_rounds(row, context, verified, rules.order)
        pair_up(rounds, rules)
        return rounds

    def _verified(self, answers: Sequence[Answer], functions: Sequence[str]) -> list[Verified]:
        minimum = self._task.rules.response
        if self._box is None or minimum is None:
            return [Verified(answer) for answer in answers]
        return verify(answers, functions, minimum, self._box.check)


class NliActor(LaterActor):
    """Asks the judge model whether back-translations contradict their instruction."""

    step = "nli"
    _task: Kit

    async def ask(self, row: Row, round_row: RoundRow) -> Usage:
        """Label all back-translations of an instruction."""
        kit, usage = self._task, Usage()
        flows = [
            judge(round_row["instruction"], text, kit.templates.nli, kit.rng(self.step, row, number), kit.rules.forms)
            for number, text in enumerate(back_translations(round_row))
        ]
        labelled = await asyncio.gather(*(drive(flow, self._engine) for flow in flows))
        for _, tokens in labelled:
            usage += tokens
        settle_labels(round_row, [label for label, _ in labelled], usage)
        return usage


class QualityActor(LaterActor):
    """Asks the judge model how good a response is, and pairs what is left."""

    step = "quality"
    _task: Kit

    async def ask(self, row: Row, round_row: RoundRow) -> Usage:
        """Score one response."""
        kit, minimum = self._task, self._task.rules.quality
        assert minimum is not None, "the pool is there for rules that score quality"
        query = query_of(row, kit.rules.order)
        constraint = json.loads(row["context"])["instruction"]
        rng = kit.rng(self.step, row, round_row["round"])
        answer, rules = round_row["output"], kit.rules
        settings = (kit.templates.quality, rng, rules.quality_tokens, rules.forms, rules.expected)
        quality, usage = await drive(score_quality(constraint, query, answer, *settings), self._engine)
        settle_quality(round_row, quality, minimum, usage)
        return usage

    def settle(self, rounds: Sequence[RoundRow]) -> None:
        """A response that is not kept is preferred to none."""
        pair_up(rounds, self._task.rules)
