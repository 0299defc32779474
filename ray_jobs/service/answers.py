"""How errors are told: as JSON, with the status that fits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from ray_jobs.config.wrong_fields import wrong_fields
from ray_jobs.errors import (
    ClusterError,
    ConfigError,
    JobError,
    LeaseHeld,
    MissingFile,
    OutputError,
    SeedError,
    StorageError,
)
from ray_jobs.service.work import EngineAway, PromptTurnedDown


class NotFound(JobError):
    """What was asked for is not here."""


class Refused(JobError):
    """What was asked for is not allowed to clients of this service; the message names the setting."""


_STATUS: Sequence[tuple[type[JobError], int, str]] = (
    (NotFound, 404, "not_found"),
    (Refused, 403, "forbidden"),
    (MissingFile, 404, "not_found"),
    (LeaseHeld, 409, "unavailable"),
    (PromptTurnedDown, 400, "bad_request"),
    (EngineAway, 503, "unavailable"),
    (ConfigError, 400, "bad_request"),
    (SeedError, 400, "bad_request"),
    (OutputError, 409, "unavailable"),
    (ClusterError, 503, "unavailable"),
    (StorageError, 503, "unavailable"),
)


def told(error: JobError) -> JSONResponse:
    """The answer to a request that ended with `error`: of a wrong configuration, field by field."""
    status, _ = _status(error)
    return JSONResponse(told_body(error), status)


def told_body(error: JobError) -> dict[str, Any]:
    """The body of that answer."""
    _, kind = _status(error)
    details = wrong_fields(error)
    if isinstance(error, Refused):
        field, _, why = str(error).partition(": ")
        details = [{"field": field, "came": None, "allowed": why}]
    return {"error": {"message": str(error), "type": kind, "details": details}}


def _status(error: JobError) -> tuple[int, str]:
    return next(((code, name) for base, code, name in _STATUS if isinstance(error, base)), (500, "unavailable"))


class Told(APIRoute):
    """A route whose known errors are answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that catches JobErrors."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except JobError as error:
                return told(error)

        return handled
