"""The engines as OpenAI's clients expect them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse, Response

from evolve.records import Completion
from ray_jobs.errors import JobError
from ray_jobs.service.answers import NotFound, Told, told_body
from ray_jobs.service.chat import ChatRequest, Reply
from ray_jobs.service.described import body
from ray_jobs.service.engines import Engines, Figures, Served
from ray_jobs.service.served import engines_of
from ray_jobs.service.state import ServiceState
from ray_jobs.service.streams import event_stream
from ray_jobs.service.work import Call, Trouble

EXAMPLE = {
    "model": "small",
    "messages": [{"role": "user", "content": "Name three fruits."}],
    "max_completion_tokens": 64,
}


def router(state: ServiceState) -> APIRouter:
    """The routes below /v1 that OpenAI's clients ask."""
    routes = APIRouter(prefix="/v1", route_class=Told)

    @routes.get("/models")
    def models() -> dict[str, Any]:
        """The engines that complete chats."""
        engines, _ = engines_of(state)
        return {"object": "list", "data": [_model(item) for item in _chatting(engines).values()]}

    @routes.get("/models/{name}")
    def model(name: str) -> dict[str, Any]:
        """One of them."""
        engines, _ = engines_of(state)
        return _model(_found(engines, name))

    @routes.post("/chat/completions", openapi_extra=body(EXAMPLE))
    async def chat(request: ChatRequest, priority: Annotated[str | None, Header()] = None) -> Response:
        """Complete a chat. With `Priority: u=4` to `u=7`, or `priority` above 0, people go first."""
        engines, _ = engines_of(state)
        served = _found(engines, request.model)
        call = Call(request.prompt(served.adapter), request.urgency(priority))
        figures, reply = engines.figures[served.loaded], Reply(request)
        if request.stream:
            pieces = _pieces(engines, served, call, figures)
            # what goes wrong before the first piece has a status of its own
            first = await anext(pieces)
            return event_stream(_lines(reply, first, pieces))
        with figures.one():
            found = await engines.complete(served.loaded, call)
        if isinstance(found, Trouble):
            raise found.error()
        figures.wrote(found.tokens_written)
        return JSONResponse(reply.whole(found))

    return routes


def _chatting(engines: Engines) -> dict[str, Served]:
    return {item.name: item for item in reversed(engines.roster.served) if item.role != "scorer"}


def _found(engines: Engines, name: str) -> Served:
    known = _chatting(engines)
    if name not in known:
        raise NotFound(f"model {name}: expected one of {', '.join(sorted(known))}")
    return known[name]


def _model(item: Served) -> dict[str, Any]:
    return {"id": item.name, "object": "model", "created": 0, "owned_by": "slm-evolve", "root": item.model}


async def _pieces(engines: Engines, served: Served, call: Call, figures: Figures) -> AsyncIterator[str | Completion]:
    """The pieces of a completion, and then all of it. Raises what a Trouble says."""
    began, first = time.monotonic(), True
    with figures.one():
        async for item in engines.stream(served.loaded, call):
            if isinstance(item, Trouble):
                raise item.error()
            if first:
                figures.first_after(began)
                first = False
            if isinstance(item, Completion):
                figures.wrote(item.completion_tokens)
            yield item


async def _lines(reply: Reply, first: str | Completion, more: AsyncIterator[str | Completion]) -> AsyncIterator[str]:
    yield _line(reply.first())
    for line in _told(reply, first):
        yield line
    try:
        async for item in more:
            for line in _told(reply, item):
                yield line
    except JobError as error:
        yield _line(told_body(error))
    yield "data: [DONE]\n\n"


def _told(reply: Reply, item: str | Completion) -> list[str]:
    if isinstance(item, Completion):
        return [_line(piece) for piece in reply.last(item)]
    return [_line(reply.piece(item))] if item else []


def _line(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"
