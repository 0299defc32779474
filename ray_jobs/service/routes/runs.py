"""Runs: the list, one, what changes in it, and what can be done to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, StreamingResponse

from ray_jobs.errors import JobError
from ray_jobs.output.verify import verify
from ray_jobs.report.make import FOLDER
from ray_jobs.report.page import INDEX
from ray_jobs.service.answers import Told
from ray_jobs.service.described import body
from ray_jobs.service.routes import planning
from ray_jobs.service.routes.planning import KINDS, SETTINGS
from ray_jobs.service.runs import Runs
from ray_jobs.service.starting import Starting, read_body
from ray_jobs.service.state import ServiceState
from ray_jobs.service.streams import event, event_stream

UPDATE_SECONDS = 1.0
QUIET_UPDATES = 15
"""After so many updates without news a comment is sent, so that nobody in between takes the stream for dead."""


def router(state: ServiceState, runs: Runs) -> APIRouter:
    """The routes below /v1/runs, and those that start nothing."""
    routes = APIRouter(prefix="/v1", route_class=Told)
    starting = Starting(state, runs)
    routes.include_router(planning.router(runs, starting))

    @routes.get("/runs")
    def listed() -> dict[str, Any]:
        """All runs, the latest first."""
        return {"runs": runs.list(), "starts": state.jobs is not None, "roots": list(state.roots)}

    @routes.post("/runs", status_code=201, openapi_extra=body(SETTINGS, *KINDS))
    async def start(request: Request) -> dict[str, str]:
        """Begin a run: settings in YAML or JSON, with `id`; what is not said is as the service was started with."""
        raw = read_body(await request.body())
        return await run_in_threadpool(starting.start, raw)

    @routes.get("/runs/{run_id}")
    def one(run_id: str) -> dict[str, Any]:
        """One run with all that its page shows."""
        return runs.one(run_id)

    @routes.get("/runs/{run_id}/events")
    async def events(run_id: str, request: Request) -> StreamingResponse:
        """The same as a stream, at most once a second and only when something has changed."""
        first = await run_in_threadpool(runs.one, run_id)
        return event_stream(_changes(runs, run_id, first, request))

    @routes.get("/runs/{run_id}/report", response_class=HTMLResponse)
    def report(run_id: str) -> HTMLResponse:
        """The report that `evolve report` has made of it."""
        page = state.open(runs.place(run_id)).read_bytes(f"{FOLDER}/{INDEX}").decode()
        # made by us, holds no scripts, and is not to begin
        policy = "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; sandbox"
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    _acts(routes, runs, starting)
    return routes


def _acts(routes: APIRouter, runs: Runs, starting: Starting) -> None:
    @routes.post("/runs/{run_id}/stop")
    def stop(run_id: str) -> dict[str, Any]:
        """Stop in good order."""
        return starting.stop(run_id)

    @routes.post("/runs/{run_id}/resume")
    def resume(run_id: str) -> dict[str, Any]:
        """Go on."""
        return starting.resume(run_id)

    @routes.post("/runs/{run_id}/retry-failed")
    def retry_failed(run_id: str) -> dict[str, Any]:
        """Run failed rows again."""
        return starting.retry_failed(run_id)

    @routes.post("/runs/{run_id}/verify")
    def verdict(run_id: str) -> dict[str, Any]:
        """Recount the whole output."""
        return asdict(verify(runs.find(run_id).store))


async def _changes(runs: Runs, run_id: str, seen: dict[str, Any], request: Request) -> AsyncIterator[str]:
    last, quiet = "", 0
    while not await request.is_disconnected():
        text = event("run", seen)
        if text != last:
            last, quiet = text, 0
            yield text
        elif (quiet := quiet + 1) % QUIET_UPDATES == 0:
            yield ": as before\n\n"
        await asyncio.sleep(UPDATE_SECONDS)
        try:
            seen = await run_in_threadpool(runs.one, run_id)
        except JobError as error:
            yield event("error", {"message": str(error)})
