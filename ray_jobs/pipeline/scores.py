"""Scores into rounds: the step between the pipeline's rows and the scoring package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray_jobs.output.rounds import RoundRow
from scoring.records import Pair, Scoring


def score_rounds(
    scoring: Scoring, rounds: Sequence[tuple[dict[str, Any], RoundRow]], with_reasoning: bool = False
) -> None:
    """Score each (row, round) and write the losses and what derives from them into the round.

    An answer is scored alone, or `with_reasoning` behind what was thought, as an export has it inline.
    """
    pairs = [Pair(item["instruction"], row["input"], _answer(item, with_reasoning)) for row, item in rounds]
    for (_, item), scores in zip(rounds, scoring.scorer.score(pairs), strict=True):
        item |= {
            "loss_q": scores.loss_q,
            "loss_a_given_q": scores.loss_a_given_q,
            "loss_a": scores.loss_a,
            "n_q": scores.n_q,
            "n_a": scores.n_a,
            "ifd": scores.ifd,
            "ic_ifd": scores.ic_ifd,
            "score_note": scores.note,
        }
    if scoring.lengths:
        for (_, item), length in zip(rounds, scoring.lengths(pairs), strict=True):
            item["instruction_length"] = length
    if scoring.rewards:
        for (_, item), reward in zip(rounds, scoring.rewards(pairs), strict=True):
            notes = dict.fromkeys(note for note in (item["score_note"], reward.note) if note)
            item |= {"reward": reward.value, "score_note": "; ".join(notes) or None}


def _answer(item: RoundRow, with_reasoning: bool) -> str:
    answer, thoughts = str(item["output"]), item.get("reasoning")
    return f"<think>\n{thoughts}\n</think>\n\n{answer}" if with_reasoning and thoughts else answer
