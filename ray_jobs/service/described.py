"""The routes as /openapi.json describes them to programs: how a token is given, what an error looks like, examples."""

from __future__ import annotations

from collections.abc import Set
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

TEXT = (
    "Trying things on warm engines, and runs over their whole life. A token goes into each request. An error of any "
    "route is `{error: {message, type, details}}`, whose details name each field, what came, and what is allowed."
)


class Detail(BaseModel):
    """What is wrong with one field."""

    field: str
    came: Any = None
    allowed: str


class Trouble(BaseModel):
    """Why a request was not done."""

    message: str
    type: str
    details: list[Detail] = []


class ErrorAnswer(BaseModel):
    """The body of every answer with a status of 400 or above."""

    error: Trouble


def body(example: Any, *kinds: str) -> dict[str, Any]:
    """A route's request body by its example; of such `kinds` where FastAPI does not know them."""
    content = {kind: {"schema": {"type": "object"}, "example": example} for kind in kinds}
    return {"requestBody": {"required": True, "content": content or {"application/json": {"example": example}}}}


class Described(FastAPI):
    """An application that describes itself. Paths in `is_open` need no token."""

    def __init__(self, is_open: Set[str]) -> None:
        # the page that FastAPI has for its routes asks other sites for its scripts
        super().__init__(
            title="slm-evolve",
            version=version("slm-evolve"),
            description=TEXT,
            docs_url=None,
            redoc_url=None,
            responses={"default": {"model": ErrorAnswer, "description": "What went wrong"}},
        )
        self._open = is_open

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            found = super().openapi()
            found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"token": []}]
            for path in self._open & found["paths"].keys():
                for route in found["paths"][path].values():
                    route["security"] = []
        return super().openapi()
