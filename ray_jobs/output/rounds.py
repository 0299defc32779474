"""Between the strategies' values and the nested rounds of a row, as plain dictionaries in the shape of ROUND_TYPE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evolve.records import Answer, Evolved, Failed, Instruction, Rejected, Response, Round, Usage
from ray_jobs.output.schema import FAILED, KEPT, REJECTED

RoundRow = dict[str, Any]
MAX_ERROR_CHARACTERS = 2000


def round_rows(results: Sequence[Round]) -> list[RoundRow]:
    """The rounds of a row, each with the round its instruction came from: the last one before it that was kept."""
    rows, parent = [], 0
    for number, result in enumerate(results, start=1):
        rows.append({"round": number, "parent_round": parent, **_evolved(result), "operator": result.operator})
        parent = number if isinstance(result, Evolved) else parent
    return rows


def failed_rounds(numbers: Iterable[int], stage: str, error: Exception) -> list[RoundRow]:
    """The rounds of a row that raised where no round has a result."""
    failed = Failed(type(error).__name__, str(error))
    return [{"round": number, "parent_round": 0, **_failed(failed, stage), **_spent(Usage())} for number in numbers]


def kept(rounds: Iterable[RoundRow]) -> list[RoundRow]:
    """The rounds that nothing has rejected so far."""
    return [item for item in rounds if item["status"] == KEPT]


def task_of(row: dict[str, Any], round_row: RoundRow) -> Instruction:
    """What the responder is asked: the evolved instruction with the seed's input."""
    return Instruction(round_row["instruction"], row["input"])


def settle_answer(round_row: RoundRow, answer: Answer) -> None:
    """Write how the answer ended into its round."""
    spend(round_row, answer.usage)
    if not isinstance(answer, Failed):
        round_row["reasoning"] = storable(answer.reasoning) or None
    match answer:
        case Response():
            round_row |= {"output": storable(answer.text), "respond_finish_reason": answer.finish_reason}
        case Rejected():
            round_row |= _rejected(answer, "respond") | {"output": storable(answer.text)}
        case Failed():
            round_row |= _failed(answer, "respond")


def spend(round_row: RoundRow, usage: Usage) -> None:
    """Add tokens to those of a round."""
    round_row["prompt_tokens"] += usage.prompt_tokens
    round_row["completion_tokens"] += usage.completion_tokens
    round_row["reasoning_tokens"] = (round_row.get("reasoning_tokens") or 0) + usage.reasoning_tokens


def with_thoughts(reasoning: str | None, answer: str) -> str:
    """An answer behind what was thought aloud before it, in the tags that models of today are trained on."""
    return f"<think>\n{reasoning}\n</think>\n\n{answer}" if reasoning else answer


def storable(text: str) -> str:
    """`text` with "?" for halves of surrogate pairs, which a server's JSON may hold and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def settle_failure(round_row: RoundRow, stage: str, error: Exception) -> None:
    """Write into a round that its stage raised."""
    round_row |= _failed(Failed(type(error).__name__, str(error)), stage)


def _evolved(result: Round) -> RoundRow:
    match result:
        case Evolved():
            return {
                "status": KEPT,
                "instruction": storable(result.instruction),
                "evolve_finish_reason": result.finish_reason,
                "mean_top1_prob": result.mean_top1_prob,
                "top1_counts_first": result.confidence and list(result.confidence.first),
                "top1_counts_rest": result.confidence and list(result.confidence.rest),
                "evolver_reasoning": storable(result.reasoning) or None,
                "trajectory": None if result.trajectory is None else storable(result.trajectory),
                **_spent(result.usage),
            }
        case Rejected():
            return _rejected(result, "evolve") | {"instruction": storable(result.text)} | _spent(result.usage)
        case Failed():
            return _failed(result, "evolve") | {"instruction": storable(result.text)} | _spent(result.usage)


def _rejected(result: Rejected, stage: str) -> RoundRow:
    return {"status": REJECTED, "stage": stage, "reason": result.reason}


def _failed(result: Failed, stage: str) -> RoundRow:
    return {
        "status": FAILED,
        "stage": stage,
        "reason": result.error,
        "error": storable(result.message)[:MAX_ERROR_CHARACTERS],
    }


def _spent(usage: Usage) -> RoundRow:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
