"""One round of a row as a value: how it ended, its texts and numbers, and the one way to Arrow and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import pyarrow as pa

from evolve import records
from evolve.confidence import Confidence
from evolve.records import Answer, Evolved, Failed, Instruction, Rejected, Response, Usage
from ray_jobs.output.columns import COLUMNS
from ray_jobs.output.schema import FAILED, KEPT, REJECTED, ROUNDS

MAX_DETAIL_CHARACTERS = 2000
Status = Literal["kept", "rejected", "failed"]
Value = float | int | str
NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a round ended: kept, rejected by the rule `reason`, or failed with the error class `reason`.

    `stage` is where; `detail` says more, as an error's message does. A kept one has none of them.
    """

    status: Status = KEPT
    stage: str | None = None
    reason: str | None = None
    detail: str | None = None

    @classmethod
    def rejected(cls, stage: str, reason: str, detail: str | None = None) -> Outcome:
        """A rule turned it down."""
        return cls(REJECTED, stage, reason, detail)

    @classmethod
    def failed(cls, stage: str, reason: str, detail: str) -> Outcome:
        """Something broke; of a long message the beginning is kept."""
        return cls(FAILED, stage, reason, storable(detail)[:MAX_DETAIL_CHARACTERS])

    @classmethod
    def raised(cls, stage: str, error: Exception) -> Outcome:
        """The stage raised."""
        return cls.failed(stage, type(error).__name__, str(error))

    @classmethod
    def of(cls, ended: Rejected | Failed, stage: str) -> Outcome:
        """As a strategy or a responder tells it."""
        if isinstance(ended, Rejected):
            return cls.rejected(stage, ended.reason)
        return cls.failed(stage, ended.error, ended.message)


KEPT_SO_FAR = Outcome()


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a row. Rounds count from 1; `parent` 0 is the seed.

    `usage` is None where no model was asked. `values` are those of the table of columns that have no field here, scores
    first of all, by column and without nulls.
    """

    number: int
    parent: int = 0
    outcome: Outcome = KEPT_SO_FAR
    operator: str | None = None
    instruction: str | None = None
    output: str | None = None
    trajectory: str | None = None
    rejected_outputs: tuple[str, ...] | None = None
    evolve_finish_reason: str | None = None
    respond_finish_reason: str | None = None
    usage: Usage | None = None
    confidence: Confidence | None = None
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether nothing has turned it down so far."""
        return self.outcome.status == KEPT

    def task(self, input: str) -> Instruction:
        """What the responder is asked: the evolved instruction with the seed's input."""
        return Instruction(self.instruction or "", input)

    def ended(self, outcome: Outcome) -> Round:
        """The round with another end."""
        return replace(self, outcome=outcome)

    def spent(self, usage: Usage) -> Round:
        """The round with more tokens spent on it."""
        return replace(self, usage=(self.usage or NOTHING) + usage)

    def with_values(self, values: Mapping[str, Value | None]) -> Round:
        """The round with more values by column; None leaves a column null."""
        assert values.keys() <= VALUES, f"{min(values.keys() - VALUES)} is no column of a round"
        more = {name: value for name, value in values.items() if value is not None}
        return replace(self, values={**self.values, **more})

    def answered(self, answer: Answer) -> Round:
        """The round with how its answer ended."""
        usage = (self.usage or NOTHING) + answer.usage
        match answer:
            case Response():
                text, reason = storable(answer.text), answer.finish_reason
                return replace(self, usage=usage, output=text, respond_finish_reason=reason)
            case Rejected():
                outcome = Outcome.of(answer, "respond")
                return replace(self, usage=usage, outcome=outcome, output=storable(answer.text))
            case Failed():
                return replace(self, usage=usage, outcome=Outcome.of(answer, "respond"))


def evolved_rounds(results: Iterable[records.Round]) -> list[Round]:
    """The rounds of a row, each with the round its instruction came from: the last one before it that was kept."""
    rounds, parent = list[Round](), 0
    for number, result in enumerate(results, start=1):
        rounds.append(_evolved(number, parent, result))
        parent = number if rounds[-1].kept else parent
    return rounds


def failed_rounds(numbers: Iterable[int], stage: str, error: Exception) -> list[Round]:
    """The rounds of a row that raised where no round has a result."""
    outcome = Outcome.raised(stage, error)
    return [Round(number, outcome=outcome, usage=NOTHING) for number in numbers]


def storable(text: str) -> str:
    """`text` with "?" for halves of surrogate pairs, which a server's JSON may hold and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def to_arrow(rows: Sequence[Sequence[Round] | None]) -> pa.Array:
    """The rounds of each row as a column of ROW_SCHEMA; None for a row that has not begun."""
    plain = [None if rounds is None else [_to_plain(item) for item in rounds] for rounds in rows]
    return pa.array(plain, ROUNDS.type)


def from_arrow(column: pa.Array | pa.ChunkedArray) -> list[list[Round] | None]:
    """The opposite of `to_arrow`."""
    rows = cast("list[list[dict[str, Any]] | None]", column.to_pylist())
    return [None if rounds is None else [_from_plain(item) for item in rounds] for rounds in rows]


def _evolved(number: int, parent: int, result: records.Round) -> Round:
    if not isinstance(result, Evolved):
        text = storable(result.text)
        return Round(number, parent, Outcome.of(result, "evolve"), result.operator, text, usage=result.usage)
    return Round(
        number,
        parent,
        KEPT_SO_FAR,
        result.operator,
        storable(result.instruction),
        usage=result.usage,
        trajectory=None if result.trajectory is None else storable(result.trajectory),
        evolve_finish_reason=result.finish_reason,
        confidence=result.confidence,
    )


_FIELDS = frozenset(
    "round parent_round status stage reason error operator instruction output trajectory rejected_outputs "
    "evolve_finish_reason respond_finish_reason prompt_tokens completion_tokens mean_top1_prob top1_counts_first "
    "top1_counts_rest".split()
)
"""The columns that have fields."""
VALUES = dict.fromkeys(
    column.name for column in COLUMNS if column.origin == "round" and column.name not in _FIELDS
).keys()
"""The columns that are `values`."""


def _to_plain(item: Round) -> dict[str, Any]:
    usage, outcome, confidence = item.usage, item.outcome, item.confidence
    return {
        "round": item.number,
        "parent_round": item.parent,
        "status": outcome.status,
        "stage": outcome.stage,
        "reason": outcome.reason,
        "error": outcome.detail,
        "operator": item.operator,
        "instruction": item.instruction,
        "output": item.output,
        "trajectory": item.trajectory,
        "rejected_outputs": item.rejected_outputs,
        "evolve_finish_reason": item.evolve_finish_reason,
        "respond_finish_reason": item.respond_finish_reason,
        "prompt_tokens": usage and usage.prompt_tokens,
        "completion_tokens": usage and usage.completion_tokens,
        "mean_top1_prob": confidence and confidence.mean,
        "top1_counts_first": confidence and confidence.first,
        "top1_counts_rest": confidence and confidence.rest,
        **item.values,
    }


def _from_plain(raw: Mapping[str, Any]) -> Round:
    first, rest = raw["top1_counts_first"], raw["top1_counts_rest"]
    against = raw["rejected_outputs"]
    return Round(
        raw["round"],
        raw["parent_round"],
        KEPT_SO_FAR if raw["status"] == KEPT else Outcome(raw["status"], raw["stage"], raw["reason"], raw["error"]),
        raw["operator"],
        raw["instruction"],
        raw["output"],
        raw["trajectory"],
        None if against is None else tuple(against),
        raw["evolve_finish_reason"],
        raw["respond_finish_reason"],
        None if raw["prompt_tokens"] is None else Usage(raw["prompt_tokens"], raw["completion_tokens"]),
        None if first is None else Confidence(raw["mean_top1_prob"], tuple(first), tuple(rest)),
        {name: value for name in VALUES if (value := raw[name]) is not None},
    )
