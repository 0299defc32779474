"""Scores into rounds: the step between the pipeline's rows and the scoring package."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ray_jobs.config.run import ModelScorerConfig, ScorerConfig
from ray_jobs.output.rounds import RoundRow
from scoring.records import Pair, Reward, Scores


class PairScorer(Protocol):
    """What scores pairs: one result a pair, in order, never raising for what a pair holds."""

    def score(self, pairs: Sequence[Pair]) -> list[Scores]:
        """Score pairs."""
        ...


@dataclass(frozen=True)
class Scoring:
    """What one actor scores with. `lengths` and `rewards` are None where they are not asked for."""

    scorer: PairScorer
    lengths: Callable[[Sequence[Pair]], list[int | None]] | None = None
    rewards: Callable[[Sequence[Pair]], list[Reward]] | None = None


def build_scoring(config: ScorerConfig) -> Scoring:
    """Load the models of one scoring actor. Raises ScoringError where one does not serve."""
    if isinstance(config, ModelScorerConfig):
        import scoring

        # How the model will be run belongs into the worker's log, which else holds warnings alone.
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("scoring").setLevel(logging.INFO)
        settings = config.model_dump(exclude={"kind", "pool", "reward", "instruction_length"})
        scorer = scoring.Scorer(scoring.ScorerConfig(**settings))
        reward = config.reward and scoring.RewardScorer(scoring.RewardConfig(**config.reward.model_dump()))
        return Scoring(
            scorer, scorer.instruction_lengths if config.instruction_length else None, reward.score if reward else None
        )
    from scoring.scripted import ScriptedScorer

    return Scoring(ScriptedScorer())


def reward_model(config: ScorerConfig | None) -> str | None:
    """The reward model that a scorer's configuration names, if any."""
    return config.reward.model if isinstance(config, ModelScorerConfig) and config.reward else None


def score_rounds(scoring: Scoring, rounds: Sequence[tuple[dict[str, Any], RoundRow]]) -> None:
    """Score each (row, round) and write the losses and what derives from them into the round."""
    pairs = [Pair(item["instruction"], row["input"], item["output"]) for row, item in rounds]
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
