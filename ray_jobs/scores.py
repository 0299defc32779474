"""Scores into rounds: the step between the pipeline's rows and the scoring package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ray_jobs.config import ModelScorerConfig, ScorerConfig
from ray_jobs.rounds import RoundRow
from scoring.records import Pair, Scores


class PairScorer(Protocol):
    """What scores pairs: one result a pair, in order, never raising for what a pair holds."""

    def score(self, pairs: Sequence[Pair]) -> list[Scores]:
        """Score pairs."""
        ...


def build_scorer(config: ScorerConfig) -> PairScorer:
    """Load the scorer of one actor."""
    if isinstance(config, ModelScorerConfig):
        import scoring

        settings = config.model_dump(exclude={"kind", "pool"})
        return scoring.Scorer(scoring.ScorerConfig(**settings))
    from scoring.scripted import ScriptedScorer

    return ScriptedScorer()


def score_rounds(scorer: PairScorer, rounds: Sequence[tuple[dict[str, Any], RoundRow]]) -> None:
    """Score each (row, round) and write the losses and what derives from them into the round."""
    pairs = [Pair(one["instruction"], row["input"], one["output"]) for row, one in rounds]
    for (_, one), scores in zip(rounds, scorer.score(pairs), strict=True):
        one |= {
            "loss_q": scores.loss_q,
            "loss_a_given_q": scores.loss_a_given_q,
            "loss_a": scores.loss_a,
            "n_q": scores.n_q,
            "n_a": scores.n_a,
            "ifd": scores.ifd,
            "ic_ifd": scores.ic_ifd,
            "score_note": scores.note,
        }
