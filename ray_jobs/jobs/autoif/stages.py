"""What AutoIF's actors share: what they are given, and how a block goes through the first and through later pools."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

import pyarrow as pa

from evolve.autoif.rules import Rules
from evolve.autoif.templates import Templates
from evolve.errors import EngineDied
from evolve.records import Usage
from evolve.sandbox import Limits, Protection, Sandbox
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.jobs.autoif.rounds import Row
from ray_jobs.output.rounds import RoundRow, failed_rounds, kept, settle_failure
from ray_jobs.pipeline.actors import end_actor, load_engine, with_rounds
from ray_jobs.pipeline.branches import begun
from ray_jobs.pipeline.monitor import Monitor, StatsReporter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kit:
    """What all steps share: rules, prompts, the run's seed, and how its sandboxes are made."""

    rules: Rules
    templates: Templates
    run_seed: int
    limits: Limits
    required: frozenset[Protection]
    servers: int

    def sandbox(self) -> Sandbox:
        """A sandbox of this process. Raises SandboxError where the machine lacks a required guard."""
        box = Sandbox(self.limits, required=self.required, servers=self.servers)
        log.info("sandbox guards: %s", dict(box.guards()))
        return box

    def rng(self, step: str, row: Row, number: int = 0) -> Random:
        """The randomness of one step of one row."""
        return Random(f"{self.run_seed} {step} {row['row_id']} {number}")


@dataclass(frozen=True)
class StepJob:
    """What an actor needs to know: its pool's name and engine, where to report, and the kit."""

    pool: str
    engine: EngineConfig
    monitor: Monitor
    kit: Kit


class FirstActor(ABC):
    """The first pool that rows pass: gives them their rounds."""

    step: ClassVar[str]

    def __init__(self, job: StepJob) -> None:
        self._reporter = StatsReporter(job.monitor, job.pool)
        self._kit = job.kit
        with self._reporter.loading():
            self._prepare()
            self._engine = load_engine(job.engine)

    async def __call__(self, table: pa.Table) -> pa.Table:
        """Work on a block. Rows that have not begun when the run is to stop come back with null rounds."""
        rounds = await asyncio.gather(*(self._row(row) for row in table.to_pylist()))
        await asyncio.to_thread(self._reporter.report)
        return begun(table, rounds)

    async def _row(self, row: Row) -> list[RoundRow] | None:
        if self._reporter.stopped:
            return None
        with self._reporter.row() as stats:
            try:
                rounds = await self.rounds(row)
            except EngineDied as died:
                end_actor(died, self._reporter)
            except Exception as error:  # whatever goes wrong with a row is that row's outcome, never the job's
                log.warning("row %s failed", row["row_id"], exc_info=True, extra={"row": row["row_id"]})
                rounds = failed_rounds(range(1, self.count + 1), self.step, error)
            for item in rounds:
                stats.spend(item["prompt_tokens"], item["completion_tokens"])
            stats.count(rounds)
        return rounds

    @property
    def count(self) -> int:
        """How many rounds a row has."""
        return 1

    @abstractmethod
    async def rounds(self, row: Row) -> list[RoundRow]:
        """The rounds of a row."""

    def _prepare(self) -> None:  # noqa: B027  # not every step needs more than its engine
        """Make what the step needs beside its engine, before a model is loaded."""


class JudgeActor(ABC):
    """A later pool with an engine, which looks at the rounds that are still kept."""

    step: ClassVar[str]

    def __init__(self, job: StepJob) -> None:
        self._reporter = StatsReporter(job.monitor, job.pool)
        self._kit = job.kit
        with self._reporter.loading():
            self._engine = load_engine(job.engine)

    async def __call__(self, table: pa.Table) -> pa.Table:
        """Judge every round of a block that is still kept."""
        rows = table.to_pylist()
        await asyncio.gather(*(self._row(row) for row in rows if row["rounds"] is not None))
        await asyncio.to_thread(self._reporter.report)
        return with_rounds(table, rows)

    async def _row(self, row: Row) -> None:
        asked = kept(row["rounds"])
        with self._reporter.row() as stats:
            for usage in await asyncio.gather(*(self._round(row, item) for item in asked)):
                stats.spend(usage.prompt_tokens, usage.completion_tokens)
            stats.count(asked)
            self.settle(row["rounds"])

    async def _round(self, row: Row, round_row: RoundRow) -> Usage:
        try:
            return await self.judge_round(row, round_row)
        except EngineDied as died:
            end_actor(died, self._reporter)
        except Exception as error:  # as in FirstActor
            log.warning("%s of row %s failed", self.step, row["row_id"], exc_info=True, extra={"row": row["row_id"]})
            settle_failure(round_row, self.step, error)
            return Usage()

    @abstractmethod
    async def judge_round(self, row: Row, round_row: RoundRow) -> Usage:
        """Judge one round, write the outcome into it, and return the tokens that it took."""

    def settle(self, rounds: Sequence[RoundRow]) -> None:  # noqa: B027  # most steps are done with each round
        """Do what needs all rounds of a row."""
