"""The gateway: all routes in one application, behind the guard."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ray_jobs.config.secret_names import concealed_setting
from ray_jobs.service.auth import Digests, Guard, Open, Usage
from ray_jobs.service.config import ServiceConfig
from ray_jobs.service.described import Described
from ray_jobs.service.routes import console, evolve, health, login, openai, records, runs, score
from ray_jobs.service.runs import Runs
from ray_jobs.service.state import ServiceState

OPEN = ("/healthz", "/v1/login", "/v1/logout", "/static/{name}", *console.PAGES)
_KINDS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "bad_request"}


def application(state: ServiceState, digests: Digests, usage: Usage | None = None) -> ASGIApp:
    """The service as one ASGI application. `digests` gives those of all tokens that count now.

    Whoever gives a `usage` sees in it what is under way, and can close the service.
    """
    settings = state.config.service if state.config else ServiceConfig()
    usage, known = usage or Usage(settings.limits.requests, settings.limits.share), Runs(state)
    app = Described(frozenset(OPEN))
    routers = {
        "Trying": (evolve.router(state), score.router(state)),
        "Chats, as OpenAI's clients ask": (openai.router(state),),
        "Runs": (runs.router(state, known),),
        "Records": (records.router(known),),
        "The service": (health.router(state), login.router(digests, usage), console.router()),
    }
    for group, parts in routers.items():
        for router in parts:
            app.include_router(router, tags=[group])
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(HTTPException, _other)
    return Guard(app, settings, digests, Open(*OPEN), usage)


async def _wrong(_: Request, error: Exception) -> JSONResponse:
    """A request whose fields are wrong, field by field."""
    assert isinstance(error, RequestValidationError)
    details = [_detail(item) for item in error.errors()]
    lines = "; ".join(f"{item['field']}: {item['allowed']}" for item in details)
    told = {"message": f"the request is wrong: {lines}", "type": "bad_request", "details": details}
    return JSONResponse({"error": told}, 400)


def _detail(item: Any) -> dict[str, Any]:
    # the first part of the place is "body" or "query"
    path = [str(part) for part in item["loc"][1:]]
    place = ".".join(path) or "the body"
    came = concealed_setting(path, item.get("input"))
    shown = came[:80] if isinstance(came, str) else came
    plain = isinstance(came, str | int | float | bool)
    return {"field": place, "came": shown if plain else None, "allowed": item["msg"].removeprefix("Value error, ")}


async def _other(_: Request, error: Exception) -> JSONResponse:
    """What FastAPI itself answers, in the form of all errors."""
    assert isinstance(error, HTTPException)
    kind = _KINDS.get(error.status_code, "bad_request")
    told = {"message": str(error.detail), "type": kind, "details": []}
    return JSONResponse({"error": told}, error.status_code)
