"""Whether the service can work, and how its engines stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from ray_jobs.errors import JobError
from ray_jobs.service.answers import Told
from ray_jobs.service.engines import Condition, Engines
from ray_jobs.service.served import engines_of
from ray_jobs.service.state import ServiceState


def router(state: ServiceState) -> APIRouter:
    """/healthz, which anybody may ask, and /v1/engines."""
    routes = APIRouter(route_class=Told)

    @routes.get("/healthz")
    async def healthz() -> JSONResponse:
        """`ready` with 200; `loading` or `failed` with 503, and why."""
        if state.engines is None:
            return JSONResponse({"state": "ready", "why": None})
        try:
            found = _worst(await state.engines.conditions())
        except JobError as error:
            found = {"state": "failed", "why": str(error)}
        return JSONResponse(found, 200 if found["state"] == "ready" else 503)

    @routes.get("/v1/engines")
    async def engines() -> dict[str, Any]:
        """Each engine with its replicas, the requests under way there, and the tokens a second of late."""
        known, _ = engines_of(state)
        return {"engines": _listed(known, await known.conditions())}

    return routes


def _worst(conditions: Mapping[str, Condition]) -> dict[str, Any]:
    for standing in ("failed", "loading"):
        found = {name: item for name, item in conditions.items() if item.state == standing}
        if found:
            why = "; ".join(f"{name}: {item.why or standing}" for name, item in found.items())
            return {"state": standing, "why": why}
    return {"state": "ready", "why": None}


def _listed(engines: Engines, conditions: Mapping[str, Condition]) -> list[dict[str, Any]]:
    lines = []
    for item in engines.roster.served:
        condition, figures = conditions[item.loaded], engines.figures[item.loaded]
        lines.append(
            {
                "name": item.name,
                "model": item.model,
                "role": item.role,
                "state": condition.state,
                "why": condition.why,
                "replicas": condition.replicas,
                "ongoing": figures.ongoing,
                "tokens_per_second": round(figures.rate, 1),
            }
        )
    return lines
