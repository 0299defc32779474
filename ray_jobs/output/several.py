"""Several answers to one instruction in its round: all that came, and the one that becomes its output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evolve.choosing import FIRST, Choice, ChoiceRule, spread
from evolve.final_answers import agreement, final_answer
from evolve.records import Answer, Failed, Rejected, Response
from ray_jobs.output.references import match
from ray_jobs.output.rounds import RoundRow, settle_answer, spend, storable

AT_ONCE: Sequence[ChoiceRule] = ("length", "agreement")
"""The rules by which the answers themselves tell which is kept."""


def settle_answers(
    round_row: RoundRow, answers: Sequence[Answer], choice: Choice, reference: str | None = None
) -> None:
    """Write all answers into their round, whose output is the first that stands until one is chosen.

    Where none stands the round ends as the first answer did. `reference` is the task's known answer, if it has one.
    """
    standing = [answer for answer in answers if isinstance(answer, Response)]
    settled = (standing or answers)[0]
    for answer in answers:
        if answer is not settled:
            spend(round_row, answer.usage)
    settle_answer(round_row, settled)
    texts = [storable(answer.text) for answer in answers]
    round_row |= {
        "answers": texts,
        "answer_reasoning": [storable(getattr(answer, "reasoning", "")) or None for answer in answers],
        "answer_finish_reasons": [getattr(answer, "finish_reason", None) for answer in answers],
        "answer_tokens": [answer.usage.completion_tokens for answer in answers],
        "answer_faults": [_fault(answer) for answer in answers],
        "answer_matches": None if reference is None else [_match(reference, answer) for answer in answers],
    }
    if reference is not None:
        round_row["reference_match"] = _match(reference, settled)
    if standing and choice.by in AT_ONCE:
        _score_texts(round_row, choice)


def standing(round_row: RoundRow) -> list[int]:
    """The places of the answers that no rule has turned down."""
    return [place for place, fault in enumerate(round_row["answer_faults"]) if fault is None]


def candidates(round_row: RoundRow) -> list[RoundRow]:
    """The round as it would be with each of the answers that stand."""
    return [round_row | _with_answer(round_row, place) for place in standing(round_row)]


def choose_by_scores(rounds: Iterable[RoundRow], scored: Sequence[RoundRow], choice: Choice) -> None:
    """Keep the best answer of each round, with its scores. `scored` are all their candidates, one after the other."""
    rest = iter(scored)
    for item in rounds:
        found = {place: next(rest) for place in standing(item)}
        scores = [found[place][choice.by] if place in found else None for place in range(len(item["answers"]))]
        best = choice.best(scores)
        item |= found[standing(item)[0] if best is None else best]
        settle_choice(item, scores, choice)


def settle_choice(round_row: RoundRow, scores: Sequence[float | None], choice: Choice) -> None:
    """Keep the best of the answers, of which each has a score or none."""
    best = choice.best(scores)
    place = standing(round_row)[0] if best is None else best
    worse = [] if best is None else choice.worse(scores, best)
    round_row |= _with_answer(round_row, place) | {
        "answer_scores": [*scores],
        "answer_index": place,
        "answer_score": scores[place],
        "answer_spread": spread(scores),
        "chosen_by": FIRST if best is None else choice.by,
        "rejected_outputs": [round_row["answers"][other] for other in worse] or None,
        "rejected_scores": [scores[other] for other in worse] or None,
    }


def _score_texts(round_row: RoundRow, choice: Choice) -> None:
    places, texts = standing(round_row), round_row["answers"]
    scores: list[float | None] = [None] * len(texts)
    if choice.by == "length":
        found: Sequence[float | None] = [float(len(texts[place])) for place in places]
    else:
        finals = [final_answer(texts[place]) for place in places]
        found = agreement(finals)
        said = dict(zip(places, finals, strict=True))
        round_row["answer_finals"] = [said.get(place) for place in range(len(texts))]
    for place, score in zip(places, found, strict=True):
        scores[place] = score
    settle_choice(round_row, scores, choice)


def _with_answer(round_row: RoundRow, place: int) -> dict[str, Any]:
    columns = {"answers": "output", "answer_reasoning": "reasoning", "answer_finish_reasons": "respond_finish_reason"}
    found = {column: round_row[of][place] for of, column in columns.items()}
    checked = round_row["answer_matches"]
    return found if checked is None else found | {"reference_match": checked[place]}


def _match(reference: str, answer: Answer) -> int | None:
    return match(reference, answer.text) if isinstance(answer, Response) else None


def _fault(answer: Answer) -> str | None:
    match answer:
        case Response():
            return None
        case Rejected():
            return answer.reason
        case Failed():
            return answer.error
