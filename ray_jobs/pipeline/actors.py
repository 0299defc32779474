"""What runs inside the pools: evolve, respond and score blocks of rows, each row at its own speed.

Each actor takes a table in ROW_SCHEMA (the first one in PLAN_SCHEMA) and returns one with the same rows in the same
order, so that a block that is computed again holds the same rows again. A row never ends an actor: what it raises
becomes its outcome. An engine that died ends the actor's process; Ray starts the actor and its blocks again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NoReturn

import pyarrow as pa

from evolve.current_row import ROW
from evolve.engine import Engine
from evolve.errors import EngineDied, SettingsRefused
from evolve.flow import Strategy, drive
from evolve.prompts import Template
from evolve.records import Instruction
from evolve.strategies.respond import BARE, Responder
from ray_jobs.config.engines import build_engine, build_responder
from ray_jobs.config.run import EngineConfig, RunConfig, ScorerConfig, SelfResponderConfig
from ray_jobs.errors import EngineRefuses
from ray_jobs.output.rounds import RoundRow, failed_rounds, kept, round_rows, settle_answer, settle_failure, task_of
from ray_jobs.output.schema import ROUNDS
from ray_jobs.pipeline.branches import begun
from ray_jobs.pipeline.monitor import Monitor, StatsReporter, WorkerStats, one_line
from ray_jobs.pipeline.scores import build_scoring, score_rounds

ENGINE_DIED = 70
"""The exit code of an actor whose engine died."""

ROWS_PER_CALL = 1.25
"""Rows under way for each of an engine's slots: more than one, since some rows are between two prompts."""

log = logging.getLogger(__name__)
Row = dict[str, Any]


@dataclass(frozen=True)
class PoolJob:
    """What an actor needs to know: the run, its pool's name and engine, and where to report.

    Strategy and response template travel whole, for a worker on another machine may not have the folder of templates.
    """

    run: RunConfig
    strategy: Strategy
    pool: str
    engine: EngineConfig
    monitor: Monitor
    response: Template = BARE

    @property
    def seed(self) -> int:
        """The run's."""
        return self.run.seed

    def responder(self) -> Responder:
        """What answers."""
        return build_responder(self.run, self.response)


@dataclass(frozen=True)
class AnswerJob:
    """As PoolJob, for an actor that only answers, in a run that evolves nothing."""

    answers: Responder
    pool: str
    engine: EngineConfig
    monitor: Monitor
    seed: int

    def responder(self) -> Responder:
        """What answers."""
        return self.answers


@dataclass(frozen=True)
class ScoreJob:
    """What a scoring actor needs to know."""

    pool: str
    scorer: ScorerConfig
    monitor: Monitor


class EngineActor:
    """What holds an engine."""

    def load(self, config: EngineConfig) -> Engine:
        """Load the engine."""
        return load_engine(config)


class EvolveActor(EngineActor):
    """Takes rows through all rounds, and answers them too where the run says that evolvers answer themselves.

    Rows begin in the order in which they came, a few more than the engine has slots. Were all begun at once, their
    rounds would take turns: every block would end at the same time, and only then would the engine get new rows.
    """

    def __init__(self, job: PoolJob) -> None:
        self._reporter = StatsReporter(job.monitor, job.pool)
        self._run = job.run
        self._strategy = job.strategy
        with self._reporter.loading():
            self._engine = self.load(job.engine)
        self._turns = asyncio.Semaphore(rows_at_once(self._engine))
        own = isinstance(job.run.responder, SelfResponderConfig)
        self._answers = Answers(job.responder(), self._engine, job.seed, self._reporter) if own else None

    async def __call__(self, table: pa.Table) -> pa.Table:
        """Evolve a block. Rows that have not begun when the run is to stop come back with null rounds."""
        rows = table.to_pylist()
        rounds = await asyncio.gather(*(self._row(row) for row in rows))
        await asyncio.to_thread(self._reporter.report)
        return begun(table, rounds)

    async def _row(self, row: Row) -> list[RoundRow] | None:
        async with self._turns:
            return None if self._reporter.stopped else await self._begun(row)

    async def _begun(self, row: Row) -> list[RoundRow]:
        ROW.set(row["row_id"])
        with self._reporter.row() as stats:
            rounds = await self._evolved(row)
            for item in rounds:
                stats.spend(item["prompt_tokens"], item["completion_tokens"])
            rounds = rounds if self._run.keep_rounds == "all" else rounds[-1:]
            stats.count(rounds)
            if self._answers:
                await self._answers.answer(row, stats, rounds)
        return rounds

    async def _evolved(self, row: Row) -> list[RoundRow]:
        seed = Instruction(row["seed_instruction"], row["input"])
        flow = self._strategy.evolve(seed, row["seed_index"], Random(f"{self._run.seed} evolve {row['row_id']}"))
        try:
            measured = in_share(row["row_id"], self._run.confidence_share)
            return round_rows(await drive(flow, self._engine, measured))
        except EngineDied as died:
            end_actor(died, self._reporter)
        except Exception as error:  # whatever goes wrong with a row is that row's outcome, never the job's
            log.warning("row %s failed", row["row_id"], exc_info=True, extra={"row": row["row_id"]})
            return failed_rounds(range(1, self._strategy.rounds + 1), "evolve", error)


class RespondActor(EngineActor):
    """Answers the instructions of a block."""

    def __init__(self, job: PoolJob | AnswerJob) -> None:
        self._reporter = StatsReporter(job.monitor, job.pool)
        with self._reporter.loading():
            engine = self.load(job.engine)
        self._answers = Answers(job.responder(), engine, job.seed, self._reporter)

    async def __call__(self, table: pa.Table) -> pa.Table:
        """Answer every round of a block that is still kept."""
        rows = table.to_pylist()
        await asyncio.gather(*(self._row(row) for row in rows if row["rounds"] is not None))
        await asyncio.to_thread(self._reporter.report)
        return with_rounds(table, rows)

    async def _row(self, row: Row) -> None:
        ROW.set(row["row_id"])
        with self._reporter.row() as stats:
            await self._answers.answer(row, stats, row["rounds"])


@dataclass(frozen=True)
class Answers:
    """A responder on an engine. Each round draws from its own randomness: `run_seed`, row and round number."""

    responder: Responder
    engine: Engine
    run_seed: int
    reporter: StatsReporter

    async def answer(self, row: Row, stats: WorkerStats, rounds: Sequence[RoundRow]) -> None:
        """Answer the kept ones of a row's rounds side by side, and write the answers into them."""
        asked = kept(rounds)
        await asyncio.gather(*(self._answer(row, item, stats) for item in asked))
        stats.count(asked)

    async def _answer(self, row: Row, round_row: RoundRow, stats: WorkerStats) -> None:
        rng = Random(f"{self.run_seed} respond {row['row_id']} {round_row['round']}")
        try:
            answer = await drive(self.responder.answer(task_of(row, round_row), rng), self.engine)
        except EngineDied as died:
            end_actor(died, self.reporter)
        except Exception as error:  # as in EvolveActor
            where = {"row": row["row_id"], "round": round_row["round"]}
            log.warning("answer to row %(row)s round %(round)s failed", where, exc_info=True, extra=where)
            settle_failure(round_row, "respond", error)
        else:
            settle_answer(round_row, answer)
            stats.spend(answer.usage.prompt_tokens, answer.usage.completion_tokens)


class ScoreActor:
    """Scores the pairs of a block with IFD and IC-IFD, and with what else the run asks for."""

    def __init__(self, job: ScoreJob) -> None:
        self._reporter = StatsReporter(job.monitor, job.pool)
        with self._reporter.loading():
            self._scoring = build_scoring(job.scorer)

    async def __call__(self, table: pa.Table) -> pa.Table:
        """Score every round of a block that is still kept. Undefined scores are null, with a note.

        Blocks take turns with the model; while one has it, the next is tokenised.
        """
        rows = table.to_pylist()
        begun = [row for row in rows if row["rounds"] is not None]
        rounds = [(row, item) for row in begun for item in kept(row["rounds"])]
        with self._reporter.rows(len(begun)) as stats:
            await asyncio.to_thread(score_rounds, self._scoring, rounds)
            for _, item in rounds:
                stats.spend((item["n_q"] or 0) + (item["n_a"] or 0), 0)
            stats.count(item for _, item in rounds)
        await asyncio.to_thread(self._reporter.report)
        return with_rounds(table, rows)


def in_share(row_id: str, share: float) -> bool:
    """Whether a row is one of `share` of all rows: by its id, so that it is or is not whenever it runs."""
    digest = hashlib.blake2b(row_id.encode(), digest_size=8, person=b"confidence").digest()
    return int.from_bytes(digest, "big") < share * 2**64


def rows_at_once(engine: Engine) -> int:
    """How many rows keep the engine full; without a limit where it does not tell its slots."""
    return sys.maxsize if engine.max_concurrency is None else math.ceil(ROWS_PER_CALL * engine.max_concurrency)


def load_engine(config: EngineConfig) -> Engine:
    """Load an actor's engine, leaving a line in the log for whoever waits for it."""
    started = time.monotonic()
    engine = build_engine(config)
    log.info("engine %s loaded in %.0f s", config.model, time.monotonic() - started)
    return engine


def with_rounds(table: pa.Table, rows: Sequence[Row]) -> pa.Table:
    """`table` with the rounds of `rows` in place of its own."""
    place = table.schema.get_field_index(ROUNDS.name)
    return table.set_column(place, ROUNDS, pa.array([row["rounds"] for row in rows], ROUNDS.type))


def end_actor(died: EngineDied, reporter: StatsReporter) -> NoReturn:
    """Leave the process, so that Ray starts the actor anew and its blocks with it.

    Raises EngineRefuses, which ends the run, where the engine takes no prompt as it is set.
    """
    if isinstance(died, SettingsRefused):
        raise EngineRefuses(" ".join(str(died).split())) from died
    log.error("%s; this actor ends and starts again", died, extra={"row": ROW.get()})
    reporter.ended(one_line(died))
    logging.shutdown()
    os._exit(ENGINE_DIED)
