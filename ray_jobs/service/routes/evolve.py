"""Trying things: a seed through evolvers, and one answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from evolve.records import Instruction
from ray_jobs.config.base import Strict
from ray_jobs.errors import ConfigError
from ray_jobs.output.rounds import storable
from ray_jobs.output.schema import KEPT
from ray_jobs.service.answers import Told
from ray_jobs.service.asked_strategy import WRONG, Asked, asked_strategy
from ray_jobs.service.described import body
from ray_jobs.service.served import chosen, engines_of, scorer_of
from ray_jobs.service.state import ServiceState
from ray_jobs.service.streams import event, event_stream
from ray_jobs.service.trying import Wish, answered, planned_row, responding_evolver, trials

TASK = {"instruction": "Name three fruits."}
EXAMPLE = {**TASK, "rounds": 2, "respond": True, "score": True}
Text = Annotated[str, Field(min_length=1)]


class EvolveRequest(Strict):
    """A seed and what it is to go through.

    What `strategy` does not say is as the service's own, where that is of the same kind; its `templates` may be texts
    by name. `index` is the seed's place among those of a run: with the run's `seed` the same happens to it as there.
    """

    instruction: Text
    input: str = ""
    evolvers: tuple[str, ...] | None = None
    strategy: dict[str, Any] | None = None
    rounds: int | None = Field(None, ge=1)
    seed: int = 0
    index: int = Field(0, ge=0)
    respond: bool = False
    score: bool = False
    stream: bool = False


class RespondRequest(Strict):
    """A task to be answered as in a run."""

    instruction: Text
    input: str = ""
    seed: int = 0


def router(state: ServiceState) -> APIRouter:
    """The routes on evolvers and responder."""
    routes = APIRouter(prefix="/v1", route_class=Told)

    async def asked(sent: dict[str, Any] | None, rounds: int | None) -> Asked:
        own = state.settings.get("strategy") or {}
        _, config = engines_of(state)
        return await run_in_threadpool(partial(asked_strategy, config, own, sent or {}, rounds))

    @routes.post("/evolve", openapi_extra=body(EXAMPLE))
    async def evolve(request: EvolveRequest) -> Any:
        """Take a seed through evolvers. JSON, or as events while it is done: `round`, `result`, `error`, `done`."""
        engines, _ = engines_of(state)
        if request.score:
            scorer_of(engines)
            if not request.respond:
                raise ConfigError(f"{WRONG}score: expected respond: true beside it, for pairs are scored, got false")
        task = Instruction(storable(request.instruction), storable(request.input))
        wish = Wish(
            await asked(request.strategy, request.rounds),
            task,
            chosen(engines, request.evolvers),
            request.seed,
            request.index,
            request.respond,
            request.score,
        )
        found = trials(engines, wish)
        if request.stream:
            return event_stream(_events(found))
        return {"results": [told async for kind, told in found if kind == "result"]}

    @routes.post("/respond", openapi_extra=body(TASK))
    async def respond(request: RespondRequest) -> dict[str, Any]:
        """Answer a task as the run's responder does, its rules included."""
        engines, config = engines_of(state)
        task = Instruction(storable(request.instruction), storable(request.input))
        wish = Wish(await asked(None, None), task, [responding_evolver(config, engines)])
        row = planned_row(wish, wish.evolvers[0].name)
        bare = {"round": 0, "status": KEPT, "instruction": task.instruction, "prompt_tokens": 0, "completion_tokens": 0}
        found = await answered(engines, wish.asked, wish.evolvers[0], row, bare, request.seed)
        return {
            "response": found.get("output"),
            "outcome": found["status"],
            "reason": found.get("reason"),
            "error": found.get("error"),
            "finish_reason": found.get("respond_finish_reason"),
            "tokens": found["completion_tokens"],
            "reasoning": found.get("reasoning"),
        }

    return routes


async def _events(found: AsyncIterator[tuple[str, dict[str, Any]]]) -> AsyncIterator[str]:
    async for kind, told in found:
        yield event(kind, told)
    yield event("done", {})
