"""Between what AutoIF's steps give and the nested rounds of a row.

A row of new instructions and one of an instruction have one round; a row that is answered has one a response. What
has no column of its own stands in `trajectory`, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from evolve.autoif.augment import Augmented
from evolve.autoif.examine import Examined
from evolve.autoif.nli import Label, contradicted
from evolve.autoif.quality import too_low
from evolve.autoif.records import Dropped, Quality
from evolve.autoif.responses import ScoredResponse, Verified, choose_pairs
from evolve.autoif.rules import Order, Rules, Threshold
from evolve.records import Usage
from ray_jobs.datasets.words import question
from ray_jobs.output.rounds import RoundRow, kept, settle_answer, spend, storable
from ray_jobs.output.schema import KEPT, REJECTED

OPERATOR = "constraint"
"""What makes a query harder."""
CHECKER = "checker"
"""What prefers one response to another: the share of the functions that accept it."""
Row = dict[str, Any]


def as_json(value: Any) -> str:
    """`value` as JSON that a text column takes."""
    return storable(json.dumps(value, ensure_ascii=False))


def augmented_round(augmented: Augmented) -> RoundRow:
    """The round of one call for new instructions. A call without any is rejected."""
    item = _round(1, "\n".join(augmented.instructions), augmented.usage) | {
        "output": "",
        "trajectory": as_json(
            {"instructions": augmented.instructions, "fallen": [asdict(dropped) for dropped in augmented.dropped]}
        ),
    }
    if augmented.instructions:
        return item
    refused = [dropped.reason for dropped in augmented.dropped if dropped.kind == "reply"]
    return item | _rejected("augment", refused[0] if refused else "no_instruction")


def duplicate_round(row: Row) -> RoundRow:
    """The round of a planned instruction that is too much like another one."""
    return _round(1, row["seed_instruction"], Usage()) | _rejected("augment", row["seed_reason"], row["seed_error"])


def examined_round(examined: Examined) -> RoundRow:
    """The round of an instruction: its functions in `output`."""
    item = _round(1, examined.instruction, examined.usage) | {
        "output": as_json([asdict(function) for function in examined.functions]),
        "trajectory": as_json(examined.account()),
    }
    return item if examined.reason is None else item | _rejected(examined.step, examined.reason)


def back_translations(round_row: RoundRow) -> list[str]:
    """What an instruction's functions were described as."""
    described: list[str] = json.loads(round_row["trajectory"])["back_translations"]
    return described


def settle_labels(round_row: RoundRow, labels: Sequence[Label | Dropped], usage: Usage) -> None:
    """Write the labels of an instruction's back-translations into its round, and what follows from them."""
    account = json.loads(round_row["trajectory"])
    account["labels"] = [None if isinstance(label, Dropped) else label for label in labels]
    dropped = [label for label in labels if isinstance(label, Dropped)]
    if against := contradicted(round_row["instruction"], list(zip(account["back_translations"], labels, strict=True))):
        round_row |= _rejected("nli", against.reason, against.detail)
    account["fallen"] += [asdict(label) for label in dropped]
    round_row["trajectory"] = as_json(account)
    spend(round_row, usage)


def query_of(row: Row, order: Order) -> str:
    """The query of a planned row, with its own input where it has one."""
    query: str = row["input"] if order == "constraint_first" else question(row["seed_instruction"], row["input"])
    return query


def answered_rounds(row: Row, context: Row, verified: Sequence[Verified], order: Order) -> list[RoundRow]:
    """One round a response. Its instruction is the constraint where the query is the row's input, else both."""
    instruction: str = context["instruction"]
    if order == "query_first":
        instruction = f"{row['seed_instruction']}\n{instruction}"
    rounds = []
    for number, item in enumerate(verified, start=1):
        done = _round(number, instruction, Usage())
        settle_answer(done, item.answer)
        about = {"constraint": context["instruction"], "instruction_id": context["instruction_id"]}
        done["trajectory"] = as_json(about | {"accuracy": item.accuracy})
        rounds.append(done)
    return rounds


def settle_quality(round_row: RoundRow, quality: Quality | Dropped, minimum: Threshold, usage: Usage) -> None:
    """Write a response's quality score into its round; one that is too low, or that the judge did not give, rejects."""
    spend(round_row, usage)
    if isinstance(quality, Dropped):
        round_row |= _rejected("quality", quality.reason, quality.detail or quality.text)
        return
    expected = {} if quality.expected is None else {"expected_score": quality.expected}
    account = json.loads(round_row["trajectory"]) | {"score": quality.score} | expected
    round_row["trajectory"] = as_json(account)
    if dropped := too_low(quality.score, minimum, round_row["output"]):
        round_row |= _rejected("quality", dropped.reason, dropped.detail)


def pair_up(rounds: Sequence[RoundRow], rules: Rules) -> None:
    """Give kept responses the ones to prefer them to, which no function accepts; anew each time."""
    candidates = [
        ScoredResponse(item["output"], accuracy)
        for item in rounds
        if (accuracy := _accuracy(item)) is not None and (item["status"] == KEPT or accuracy <= rules.rejected)
    ]
    against: dict[str, list[ScoredResponse]] = {}
    for pair in choose_pairs(candidates, rules.chosen, rules.rejected, rules.pair_side):
        against.setdefault(pair.chosen.text, []).append(pair.rejected)
    for item in kept(rounds):
        # of equal responses the first has the pairs
        worse = against.pop(item["output"], [])
        item |= {
            "rejected_outputs": [other.text for other in worse] or None,
            "rejected_scores": [other.accuracy for other in worse] or None,
            "answer_score": _accuracy(item) if worse else None,
            "chosen_by": CHECKER if worse else None,
        }


def _accuracy(round_row: RoundRow) -> float | None:
    accuracy: float | None = json.loads(round_row["trajectory"])["accuracy"] if round_row["trajectory"] else None
    return accuracy


def _round(number: int, instruction: str, usage: Usage) -> RoundRow:
    return {
        "round": number,
        "parent_round": 0,
        "status": KEPT,
        "operator": OPERATOR,
        "instruction": storable(instruction),
        "trajectory": None,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _rejected(stage: str, reason: str, error: str | None = None) -> RoundRow:
    return {"status": REJECTED, "stage": stage, "reason": reason, "error": error or None}
