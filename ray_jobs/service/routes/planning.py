"""What starts nothing: is a configuration right, what would it take, what may be set, two runs side by side."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from evolve.prompts import SHIPPED, placeholders_of, shipped_names
from ray_jobs.config.secret_names import concealed_setting
from ray_jobs.errors import ConfigError, SeedError
from ray_jobs.jobs.schemas import schema
from ray_jobs.service.answers import Refused, Told, told_body
from ray_jobs.service.compare import Asked, compared
from ray_jobs.service.described import body
from ray_jobs.service.planning import Planning
from ray_jobs.service.routes.records import INDEX_SECONDS
from ray_jobs.service.runs import Runs
from ray_jobs.service.starting import Starting, read_body

KINDS = ("application/json", "application/yaml")
SETTINGS = {"id": "my-run", "seeds": [{"instruction": "Name three fruits."}], "strategy": {"rounds": 2}}


def router(runs: Runs, starting: Starting) -> APIRouter:
    """The routes below /v1 that start nothing."""
    routes = APIRouter(route_class=Told)
    planning = Planning(runs, starting)

    @routes.post("/validate", openapi_extra=body(SETTINGS, *KINDS))
    async def validate(request: Request) -> dict[str, Any]:
        """Check settings as POST /v1/runs does, and start nothing."""
        whole = await run_in_threadpool(starting.checked, read_body(await request.body()))
        shown = {name: concealed_setting([name], value) for name, value in whole.items() if name != "storage"}
        return {"valid": True, "settings": shown}

    @routes.post("/plan", openapi_extra=body(SETTINGS, *KINDS))
    async def plan(request: Request, check: bool = False) -> dict[str, Any]:
        """Check settings as POST /v1/runs does, and say what the run would take: rows, tokens, seconds, money.

        With `check` wrong settings are an answer, for whoever asks while they are being written: `valid` is false, and
        `error` is what an error would hold.
        """
        try:
            return await run_in_threadpool(planning.plan, read_body(await request.body()))
        except (ConfigError, Refused, SeedError) as error:
            if not check:
                raise
            return {"valid": False, **told_body(error)}

    @routes.get("/schema")
    def schema_of(kind: str = "run") -> dict[str, Any]:
        """The JSON schema of configurations of a kind."""
        return schema(kind)

    @routes.get("/templates")
    def templates() -> dict[str, Any]:
        """The shipped prompts with their placeholders; `strategy.templates` replaces any by its name."""
        texts = {
            name: (SHIPPED / f"{name}.txt").read_text(encoding="utf-8").strip() for name in sorted(shipped_names())
        }
        return {
            "templates": [
                {"name": name, "text": text, "placeholders": placeholders_of(text)} for name, text in texts.items()
            ]
        }

    @routes.get("/compare")
    def compare(asked: Annotated[Asked, Depends()]) -> Any:
        """Two runs, or two evolvers of one, side by side; 202 while an index is being made."""
        found = compared(runs, asked, INDEX_SECONDS)
        return JSONResponse(found, 202) if "indexing" in found else found

    return routes
