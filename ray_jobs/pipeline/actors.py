"""What runs inside the pools: evolve, respond and score.

Blocks are tables in PLAN_SCHEMA where rows begin, in ROW_SCHEMA everywhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import ClassVar, Literal

import pyarrow as pa

from evolve.choosing import Choice
from evolve.engine import Engine
from evolve.engines.adapted_engine import AdaptedEngine
from evolve.flow import Strategy, drive
from evolve.records import Instruction, Response, Usage
from evolve.strategies.respond import Responder
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.config.run import ScorerConfig
from ray_jobs.output.references import match, reference_of
from ray_jobs.output.rounds import RoundRow, failed_rounds, kept, round_rows, settle_answer, settle_failure, task_of
from ray_jobs.output.schema import ROUNDS
from ray_jobs.output.several import candidates, choose_by_scores, settle_answers
from ray_jobs.pipeline.actor import BlockActor, PoolActor, Row, RowActor
from ray_jobs.pipeline.begun import begun
from ray_jobs.pipeline.monitor import WorkerStats
from ray_jobs.pipeline.scores import score_rounds

Ask = Callable[[Row, RoundRow], Awaitable[Usage]]
"""Asks about one round of a row, writes the outcome into it, and returns the tokens that it took."""


class RoundsActor(PoolActor[list[RoundRow]]):
    """What becomes of a row are its rounds."""

    def begun(self, row: Row) -> bool:
        """Rows that have not begun have no rounds."""
        return row["rounds"] is not None

    def finished(self, table: pa.Table, results: Sequence[list[RoundRow] | None]) -> pa.Table:
        """The block with rounds: its first, or in the place of those it has."""
        place = table.schema.get_field_index(ROUNDS.name)
        if place < 0:
            return begun(table, results)
        return table.set_column(place, ROUNDS, pa.array(results, ROUNDS.type))


class RoundsRowActor(RoundsActor, RowActor[list[RoundRow]]):
    """Takes rows with rounds through an engine. `step` is the stage at which they fail."""

    step: ClassVar[str]

    async def each_kept(
        self, row: Row, rounds: Iterable[RoundRow], stats: WorkerStats, ask: Ask, step: str | None = None
    ) -> None:
        """Ask side by side about the rounds that are still kept. A round whose asking raises has failed at `step`."""
        asked, step = kept(rounds), step or self.step
        usages = await asyncio.gather(
            *(self.outcome(ask(row, item), step, partial(_failed, item, step)) for item in asked)
        )
        for usage in usages:
            stats.spend(usage.prompt_tokens, usage.completion_tokens)
        stats.count(asked)


def _failed(round_row: RoundRow, step: str, error: Exception) -> Usage:
    settle_failure(round_row, step, error)
    return Usage()


class FirstActor(RoundsRowActor):
    """The first pool that rows pass: gives them their rounds."""

    async def work(self, row: Row, stats: WorkerStats) -> list[RoundRow]:
        """The rounds of a row."""
        failed = partial(failed_rounds, range(1, self.rounds_per_row + 1), self.step)
        rounds = self.chosen(await self.outcome(self._spent_on(row, stats), self.step, failed))
        stats.count(rounds)
        return rounds

    async def _spent_on(self, row: Row, stats: WorkerStats) -> list[RoundRow]:
        rounds = await self.rounds(row)
        stats.spend(sum(item["prompt_tokens"] for item in rounds), sum(item["completion_tokens"] for item in rounds))
        return rounds

    @property
    def rounds_per_row(self) -> int:
        """How many rounds a row has."""
        return 1

    @abstractmethod
    async def rounds(self, row: Row) -> list[RoundRow]:
        """The rounds of a row."""

    def chosen(self, rounds: list[RoundRow]) -> list[RoundRow]:
        """The rounds that go on."""
        return rounds


class LaterActor(RoundsRowActor):
    """A later pool with an engine, which asks about the rounds that are still kept."""

    async def work(self, row: Row, stats: WorkerStats) -> list[RoundRow]:
        """The rounds of a row, with what was found out about them."""
        rounds: list[RoundRow] = row["rounds"]
        await self.each_kept(row, rounds, stats, self.ask)
        self.settle(rounds)
        return rounds

    @abstractmethod
    async def ask(self, row: Row, round_row: RoundRow) -> Usage:
        """Ask about one round, write the outcome into it, and return the tokens that it took."""

    def settle(self, rounds: Sequence[RoundRow]) -> None:  # most stages are done with each round
        """Do what needs all rounds of a row."""


@dataclass(frozen=True)
class RespondTask:
    """What answers. Each round draws from its own randomness: the run's `seed`, row and round number.

    Of several answers one is kept by `choice`, here or where scores are taken. Tasks that operators in `answer_kept`
    have made have the answers that they had before.
    """

    responder: Responder
    seed: int
    choice: Choice | None = None
    answer_kept: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EvolveTask:
    """How rows are evolved, and which rounds go on. With `respond` evolvers answer themselves.

    `confidence_share` of the rows, by their ids, ask the evolver how sure it is of its tokens. Evolvers that share the
    engine have `adapters`, by their names, "" for the bare model; answers are given under `respond_adapter`, if any.
    What evolvers think aloud is kept with `keep_thoughts` alone.
    The strategy travels whole, for a worker on another machine may not have the folder of its templates.
    """

    strategy: Strategy
    seed: int
    keep_rounds: Literal["all", "last"]
    respond: RespondTask | None = None
    confidence_share: float = 1.0
    adapters: Mapping[str, str] = field(default_factory=dict)
    respond_adapter: str | None = None
    keep_thoughts: bool = False


class EvolveActor(FirstActor):
    """Takes rows through all rounds, and answers them too where the run says that evolvers answer themselves."""

    step = "evolve"
    _task: EvolveTask

    def load(self, model: EngineConfig) -> None:
        """Load the engine."""
        super().load(model)
        engine = under(self._engine, self._task.respond_adapter)
        self._answers = Answers(self._task.respond, engine) if self._task.respond else None

    async def work(self, row: Row, stats: WorkerStats) -> list[RoundRow]:
        """The rounds of a row, answered if they are to be."""
        rounds = await super().work(row, stats)
        if self._answers:
            answers = self._answers
            if self._task.respond_adapter is None:
                # who evolves answers
                answers = replace(answers, engine=under(self._engine, self._task.adapters.get(row["evolver"])))
            await self.each_kept({**row, "rounds": rounds}, rounds, stats, answers.answer, RespondActor.step)
        return rounds

    @property
    def rounds_per_row(self) -> int:
        """Those of the strategy."""
        return self._task.strategy.rounds

    async def rounds(self, row: Row) -> list[RoundRow]:
        """Evolve a seed."""
        seed = Instruction(row["seed_instruction"], row["input"])
        rng = Random(f"{self._task.seed} evolve {row['row_id']}")
        flow = self._task.strategy.evolve(seed, row["seed_index"], rng)
        measured = in_share(row["row_id"], self._task.confidence_share)
        engine = under(self._engine, self._task.adapters.get(row["evolver"]))
        rounds = round_rows(await drive(flow, engine, measured))
        if not self._task.keep_thoughts:
            for item in rounds:
                item["evolver_reasoning"] = None
        return rounds

    def chosen(self, rounds: list[RoundRow]) -> list[RoundRow]:
        """As the run says."""
        return rounds if self._task.keep_rounds == "all" else rounds[-1:]


class RespondActor(LaterActor):
    """Answers the instructions of a block that are still kept."""

    step = "respond"
    _task: RespondTask

    def load(self, model: EngineConfig) -> None:
        """Load the engine."""
        super().load(model)
        self._answers = Answers(self._task, self._engine)

    @property
    def draws(self) -> int:
        """All answers to an instruction."""
        return self._task.responder.answers

    async def ask(self, row: Row, round_row: RoundRow) -> Usage:
        """Answer one round."""
        return await self._answers.answer(row, round_row)


@dataclass(frozen=True)
class Answers:
    """A responder on an engine."""

    task: RespondTask
    engine: Engine

    async def answer(self, row: Row, round_row: RoundRow) -> Usage:
        """Answer one round of a row, and write the answer into it."""
        rng = Random(f"{self.task.seed} respond {row['row_id']} {round_row['round']}")
        responder, choice, task = self.task.responder, self.task.choice, task_of(row, round_row)
        reference = reference_of(row, round_row, self.task.answer_kept)
        if choice is None:
            answer = await drive(responder.answer(task, rng), self.engine)
            settle_answer(round_row, answer)
            if reference is not None and isinstance(answer, Response):
                round_row["reference_match"] = match(reference, answer.text)
            return answer.usage
        answers = await drive(responder.several(task, rng), self.engine)
        settle_answers(round_row, answers, choice, reference)
        return sum((answer.usage for answer in answers), Usage())


@dataclass(frozen=True)
class ScoreTask:
    """What is scored: answers alone, or behind what was thought; all of several where `choice` is by their scores."""

    with_reasoning: bool = False
    choice: Choice | None = None


class ScoreActor(RoundsActor, BlockActor[list[RoundRow]]):
    """Scores pairs with IFD and IC-IFD, and with what else the run asks for. Undefined scores are null, with a note.

    Blocks take turns with the model; while one has it, the next is tokenised.
    """

    _task: ScoreTask

    def load(self, model: ScorerConfig) -> None:
        """Load the scorer's models."""
        self._scoring = model.build()

    def work(self, rows: Sequence[Row], stats: WorkerStats) -> Sequence[list[RoundRow]]:
        """Score every round that is still kept."""
        rounds = [(row, item) for row in rows for item in kept(row["rounds"])]
        choice, scored = self._task.choice, rounds
        if choice:
            scored = [(row, answered) for row, item in rounds for answered in candidates(item)]
        score_rounds(self._scoring, scored, self._task.with_reasoning)
        if choice:
            choose_by_scores([item for _, item in rounds], [answered for _, answered in scored], choice)
        for _, item in scored:
            stats.spend((item["n_q"] or 0) + (item["n_a"] or 0), 0)
        stats.count(item for _, item in rounds)
        return [row["rounds"] for row in rows]


def under(engine: Engine, adapter: str | None) -> Engine:
    """An engine under one of its adapters; None for it as it is set."""
    return engine if adapter is None else AdaptedEngine(engine, adapter)


def in_share(row_id: str, share: float) -> bool:
    """Whether a row is one of `share` of all rows: by its id, so that it is or is not whenever it runs."""
    digest = hashlib.blake2b(row_id.encode(), digest_size=8, person=b"confidence").digest()
    return int.from_bytes(digest, "big") < share * 2**64
