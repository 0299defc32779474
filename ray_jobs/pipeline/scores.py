"""Scores into rounds: the step between the pipeline's rows and the scoring package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray_jobs.output.rounds import RoundRow, with_thoughts
from scoring.records import Pair, PairScorer, Scores, Scoring


def score_rounds(
    scoring: Scoring, rounds: Sequence[tuple[dict[str, Any], RoundRow]], with_reasoning: bool = False
) -> None:
    """Score each (row, round) and write the losses and what derives from them into the round.

    An answer is scored alone, or `with_reasoning` behind what was thought, as an export has it inline.
    """
    pairs = [
        Pair(
            item["instruction"],
            row["input"],
            with_thoughts(item.get("reasoning") if with_reasoning else None, str(item["output"])),
        )
        for row, item in rounds
    ]
    found = scoring.scorer.score(pairs)
    for (_, item), scores in zip(rounds, found, strict=True):
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
    if scoring.instructions:
        for (_, item), loss in zip(rounds, _instruction_losses(scoring.scorer, pairs, found), strict=True):
            item["loss_instruction"] = loss
    if scoring.lengths:
        for (_, item), length in zip(rounds, scoring.lengths(pairs), strict=True):
            item["instruction_length"] = length
    if scoring.rewards:
        for (_, item), reward in zip(rounds, scoring.rewards(pairs), strict=True):
            notes = dict.fromkeys(note for note in (item["score_note"], reward.note) if note)
            item |= {"reward": reward.value, "score_note": "; ".join(notes) or None}


def _instruction_losses(scorer: PairScorer, pairs: Sequence[Pair], found: Sequence[Scores]) -> list[float | None]:
    """The loss of each pair's instruction alone; `found` has it of pairs without an input, as their L(Q)."""
    alone = iter(scorer.score([Pair(pair.instruction, "", "") for pair in pairs if pair.input]))
    return [(next(alone) if pair.input else scores).loss_q for pair, scores in zip(pairs, found, strict=True)]
