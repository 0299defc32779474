"""Scores of pairs, which are those that a run gives them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from ray_jobs.config.base import Strict
from ray_jobs.errors import ConfigError
from ray_jobs.service.answers import Told
from ray_jobs.service.asked_strategy import WRONG
from ray_jobs.service.described import body
from ray_jobs.service.served import engines_of, scorer_of
from ray_jobs.service.state import ServiceState

EXAMPLE = {"pairs": [{"instruction": "Name three fruits.", "response": "Apple, pear, plum."}]}


class ScoredPair(Strict):
    """A task and its response. `reasoning` counts where the scorer is set to read it."""

    instruction: str
    input: str = ""
    response: str
    reasoning: str | None = None

    def pair(self) -> dict[str, Any]:
        """As the scorer takes it."""
        return {
            "instruction": self.instruction,
            "input": self.input,
            "output": self.response,
            "reasoning": self.reasoning,
        }


class ScoreRequest(Strict):
    """Pairs to be scored."""

    pairs: tuple[ScoredPair, ...] = Field(min_length=1)


def router(state: ServiceState) -> APIRouter:
    """The route on the scorer."""
    routes = APIRouter(prefix="/v1", route_class=Told)

    @routes.post("/score", openapi_extra=body(EXAMPLE))
    async def score(request: ScoreRequest) -> dict[str, Any]:
        """The scores of each pair, in order, under the names of a run's columns. What is undefined is null."""
        engines, config = engines_of(state)
        scorer = scorer_of(engines)
        if len(request.pairs) > (most := config.service.limits.pairs):
            raise ConfigError(f"{WRONG}pairs: expected at most {most:,} a request, got {len(request.pairs):,}")
        figures = engines.figures[scorer.loaded]
        with figures.one():
            found = await engines.score(scorer.loaded, [pair.pair() for pair in request.pairs])
        figures.wrote(sum((item["n_q"] or 0) + (item["n_a"] or 0) for item in found))
        return {"scores": found}

    return routes
