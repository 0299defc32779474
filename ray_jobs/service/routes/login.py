"""A person's way in: a token for a cookie that no script can read. And who asks for how much."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ray_jobs.service.auth import COOKIE, Digests, Usage
from ray_jobs.service.tokens import owner

SECONDS = 30 * 24 * 3600


class Login(BaseModel):
    """A token."""

    token: str


def router(digests: Digests, usage: Usage) -> APIRouter:
    """Login, logout, and the figures of all tokens."""
    routes = APIRouter(prefix="/v1")

    @routes.post("/login")
    def login(asked: Login, request: Request) -> Response:
        """Take a token into a cookie."""
        name = owner(asked.token, digests())
        if name is None:
            usage.refuse("login")
            wrong = {"message": "this token is not, or no longer, known", "type": "unauthorized", "details": []}
            return JSONResponse({"error": wrong}, 401)
        answer = JSONResponse({"name": name})
        forwarded = request.headers.get("x-forwarded-proto", request.url.scheme)
        answer.set_cookie(
            COOKIE, asked.token, max_age=SECONDS, httponly=True, samesite="strict", secure=forwarded == "https"
        )
        return answer

    @routes.post("/logout")
    def logout() -> Response:
        """Forget it."""
        answer = JSONResponse({})
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    @routes.get("/usage")
    def figures() -> dict[str, Any]:
        """The requests of each token since the service was started, and those that were refused, by cause."""
        return usage.told()

    return routes
