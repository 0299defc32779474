"""What runs inside the pools of analyses: judges and encoders, on blocks of planned rows."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa

from evolve.errors import EngineDied
from evolve.flow import drive
from evolve.judging.records import Case, Finding, Judged, Question, Side
from evolve.records import Failed, Instruction, Rejected
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.jobs.analysis.config import EncoderConfig
from ray_jobs.jobs.analysis.tables import EMBEDDING, Values, with_findings
from ray_jobs.output.rounds import MAX_ERROR_CHARACTERS, storable
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.pipeline.actors import end_actor, load_engine
from ray_jobs.pipeline.monitor import Monitor, StatsReporter

JUDGE, ENCODE = "judge", "encode"
"""The pools, and the stages at which their rows fail."""
log = logging.getLogger(__name__)
Row = dict[str, Any]


@dataclass(frozen=True)
class JudgeTask:
    """What a judging actor needs to know: what it asks, of which engine, and the columns that verdicts fill."""

    question: Question
    engine: EngineConfig
    values: Values
    monitor: Monitor


@dataclass(frozen=True)
class EncodeTask:
    """What an encoding actor needs to know."""

    encoder: EncoderConfig
    monitor: Monitor


class JudgeActor:
    """Asks a judge about the rows of a block, side by side."""

    def __init__(self, job: JudgeTask) -> None:
        self._reporter = StatsReporter(job.monitor, JUDGE)
        self._question, self._values = job.question, job.values
        with self._reporter.loading():
            self._engine = load_engine(job.engine)

    async def __call__(self, table: pa.Table) -> pa.Table:
        """Judge a block. Rows that have not begun when the run is to stop come back without an outcome."""
        findings = await asyncio.gather(*(self._row(row) for row in table.to_pylist()))
        await asyncio.to_thread(self._reporter.report)
        return with_findings(table, findings, self._values)

    async def _row(self, row: Row) -> Row:
        if self._reporter.stopped:
            return {}
        with self._reporter.row() as stats:
            found = finding_row(await self._judged(row))
            stats.spend(found["prompt_tokens"], found["completion_tokens"])
            stats.count([found])
        return found

    async def _judged(self, row: Row) -> Finding:
        try:
            return await drive(self._question.ask(case_of(row), Random(f"judge {row['record_id']}")), self._engine)
        except EngineDied as died:
            end_actor(died, self._reporter)
        except Exception as error:  # whatever goes wrong with a row is that row's outcome, never the job's
            log.warning("record %s failed", row["record_id"], exc_info=True)
            return Failed(type(error).__name__, str(error))


class EncodeActor:
    """Turns the instructions of a block, each with its input on the line below, into vectors."""

    def __init__(self, job: EncodeTask) -> None:
        self._reporter = StatsReporter(job.monitor, ENCODE)
        with self._reporter.loading():
            # here, so that planning and judging never cost the import of torch
            from scoring import encoder

            settings = job.encoder.model_dump(exclude={"pool"})
            self._encoder = encoder.Encoder(encoder.EncoderConfig(**settings))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode a block."""
        rows = table.to_pylist()
        if self._reporter.stopped:
            return with_findings(table, [{} for _ in rows], EMBEDDING)
        with self._reporter.rows(len(rows)) as stats:
            encoded = self._encoder.encode([text_of(row) for row in rows])
            findings = [
                {"status": KEPT, "embedding": vector, "truncated": cut, "prompt_tokens": tokens, "completion_tokens": 0}
                for vector, tokens, cut in zip(encoded.vectors, encoded.tokens, encoded.truncated, strict=True)
            ]
            stats.spend(sum(encoded.tokens), 0)
            stats.count(findings)
        self._reporter.report()
        return with_findings(table, findings, EMBEDDING)


def case_of(row: Row) -> Case:
    """A planned row as a judge is shown it."""
    side = Side(Instruction(row["instruction"], row["input"]), row["output"] or "")
    if row["other_record_id"] is None:
        return Case(side)
    return Case(side, Side(Instruction(row["other_instruction"], row["other_input"]), row["other_output"]))


def text_of(row: Row) -> str:
    """What an encoder reads: the instruction, and its input on the line below where there is one."""
    return f"{row['instruction']}\n{row['input']}" if row["input"] else str(row["instruction"])


def finding_row(finding: Finding) -> Row:
    """A finding in the columns of `with_findings`."""
    usage = finding.usage
    spent = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    match finding:
        case Judged():
            return {"status": KEPT, **finding.values, **spent}
        case Rejected():
            reply = storable(finding.text)
            return {"status": REJECTED, "stage": JUDGE, "reason": finding.reason, "reply": reply, **spent}
        case Failed():
            error = storable(finding.message)[:MAX_ERROR_CHARACTERS]
            return {"status": FAILED, "stage": JUDGE, "reason": finding.error, "error": error, **spent}
