"""What runs inside the pools of analyses: judges and encoders, on blocks of planned rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pyarrow as pa

from evolve.flow import drive
from evolve.judging.records import Case, Finding, Judged, Question, Side
from evolve.records import Failed, Instruction, Rejected
from ray_jobs.jobs.analysis.config import EncoderConfig
from ray_jobs.jobs.analysis.tables import EMBEDDING, Values, with_findings
from ray_jobs.output.rounds import MAX_ERROR_CHARACTERS, storable
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.pipeline.actor import BlockActor, PoolActor, Row, RowActor
from ray_jobs.pipeline.monitor import WorkerStats

JUDGE, ENCODE = "judge", "encode"
"""The pools, and the stages at which their rows fail."""


class FindingsActor(PoolActor[Row]):
    """What becomes of a record is a finding, in the columns `values`."""

    key = "record_id"

    @property
    @abstractmethod
    def values(self) -> Values:
        """The columns."""

    def finished(self, table: pa.Table, results: Sequence[Row | None]) -> pa.Table:
        """The block with findings; without an outcome where a row has not begun."""
        return with_findings(table, [result or {} for result in results], self.values)


@dataclass(frozen=True)
class JudgeTask:
    """What a judge is asked, and the columns that verdicts fill."""

    question: Question
    values: Values


class JudgeActor(FindingsActor, RowActor[Row]):
    """Asks a judge about each row."""

    _task: JudgeTask

    @property
    def values(self) -> Values:
        """Those of the question."""
        return self._task.values

    async def work(self, row: Row, stats: WorkerStats) -> Row:
        """Ask about one row."""
        asked = drive(self._task.question.ask(case_of(row), Random(f"judge {row['record_id']}")), self._engine)
        found = finding_row(await self.outcome(asked, JUDGE, _failed))
        stats.spend(found["prompt_tokens"], found["completion_tokens"])
        stats.count([found])
        return found


def _failed(error: Exception) -> Finding:
    return Failed(type(error).__name__, str(error))


class EncodeActor(FindingsActor, BlockActor[Row]):
    """Turns instructions, each with its input on the line below, into vectors."""

    @property
    def values(self) -> Values:
        """Those of a vector."""
        return EMBEDDING

    def load(self, model: EncoderConfig) -> None:
        """Load the encoder."""
        # here, so that planning and judging never cost the import of torch
        from scoring import encoder

        self._encoder = encoder.Encoder(encoder.EncoderConfig(**model.model_dump(exclude={"pool"})))

    def work(self, rows: Sequence[Row], stats: WorkerStats) -> Sequence[Row]:
        """Encode a block."""
        encoded = self._encoder.encode([text_of(row) for row in rows])
        findings = [
            {"status": KEPT, "embedding": vector, "truncated": cut, "prompt_tokens": tokens, "completion_tokens": 0}
            for vector, tokens, cut in zip(encoded.vectors, encoded.tokens, encoded.truncated, strict=True)
        ]
        stats.spend(sum(encoded.tokens), 0)
        stats.count(findings)
        return findings


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
