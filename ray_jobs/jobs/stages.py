"""The stages that several jobs have: a pool that answers, and one that scores."""

from __future__ import annotations

from evolve.choosing import Choice
from ray_jobs.config.answering import SCORED
from ray_jobs.config.pool_names import RESPOND, SCORE
from ray_jobs.config.run import PoolResponderConfig, ScorerConfig
from ray_jobs.pipeline.actors import RespondActor, RespondTask, ScoreActor, ScoreTask
from ray_jobs.pipeline.stage import Stage


def responding(responder: PoolResponderConfig, task: RespondTask) -> Stage:
    """A pool of the responder's own."""
    labels = {"responder_model": responder.engine.label}
    return Stage(RESPOND, "responder.engine", RespondActor, responder.engine, responder.pool, task, labels=labels)


def scoring(scorer: ScorerConfig | None, choice: Choice | None = None) -> list[Stage]:
    """The scorer's pool, where there is a scorer. It scores all answers where the `choice` among them is by scores."""
    if scorer is None:
        return []
    task = ScoreTask(scorer.with_reasoning, choice if choice and choice.by in SCORED else None)
    labels = {"scorer_model": scorer.model, "reward_model": scorer.reward_model()}
    return [Stage(SCORE, "scorer", ScoreActor, scorer, scorer.pool, task, labels=labels)]
