"""The service's gate: who asks, for which host, from which page, how much, and how much at once.

It stands before everything else, as plain ASGI, and answers what it refuses itself. What it knows it keeps in memory.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ray_jobs.service.config import ServiceConfig
from ray_jobs.service.tokens import owner

COOKIE = "slm_evolve"
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""What every answer has that says nothing else there."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
access = logging.getLogger("ray_jobs.service.access")
Digests = Callable[[], Mapping[str, str]]
"""The digests of all tokens that count now, by name."""


class Refusal(Exception):
    """A request that goes no further: `kind` as in the service's errors, `counted` names the cause in figures."""

    def __init__(self, status: int, kind: str, counted: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.counted = status, kind, counted


class Open:
    """The paths that need no token: exact ones, and those under a folder."""

    def __init__(self, *patterns: str) -> None:
        """Take patterns as of routes: `/runs/{run_id}` stands for all below `/runs/`."""
        self._exact = frozenset(pattern for pattern in patterns if "{" not in pattern)
        self._folders = tuple(pattern.partition("{")[0] for pattern in patterns if "{" in pattern)

    def admits(self, path: str) -> bool:
        """Whether a path needs none."""
        return path in self._exact or path.startswith(self._folders)


class Usage:
    """Who has how much under way, and what was refused. Once it is `closing` nothing more begins."""

    def __init__(self, requests: int, share: float) -> None:
        self._most, self._each = requests, max(1, int(requests * share))
        self.under_way, self.asked, self.refused = Counter[str](), Counter[str](), Counter[str]()
        self.closing = False

    def enter(self, name: str) -> None:
        """A request begins. Raises Refusal where more are under way than may be, or none may begin any more."""
        if self.closing:
            raise Refusal(503, "unavailable", "closing", "the service ends; try again in a moment")
        if self.under_way.total() >= self._most:
            raise Refusal(429, "too_many", "requests", f"{self._most} requests are under way, which is the limit")
        if self.under_way[name] >= self._each:
            raise Refusal(429, "too_many", "share", f"{name} has {self._each} requests under way, which is its share")
        self.under_way[name] += 1
        self.asked[name] += 1

    def leave(self, name: str) -> None:
        """A request has ended."""
        self.under_way[name] -= 1

    def refuse(self, cause: str) -> None:
        """A request went no further."""
        self.refused[cause] += 1

    def told(self) -> dict[str, Any]:
        """All of it as data."""
        names = sorted(self.asked)
        tokens = {name: {"requests": self.asked[name], "under_way": self.under_way[name]} for name in names}
        return {"tokens": tokens, "refused": dict(self.refused)}


class Guard:
    """Lets requests through to `app` that may go there, and writes a line about each in the log."""

    def __init__(self, app: ASGIApp, settings: ServiceConfig, digests: Digests, is_open: Open, usage: Usage) -> None:
        self._app, self._settings, self._digests, self._open = app, settings, digests, is_open
        self._hosts = LOOPBACK | set(settings.hosts)
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        answer = _Answer(send, _request_id(headers.get("x-request-id", "")))
        began, name = time.monotonic(), "-"
        try:
            name = self._admitted(scope, headers)
            await self._let_through(name, scope, self._limited(scope, headers, receive, answer), answer)
        except Refusal as refusal:
            await self._refuse(refusal, answer)
        finally:
            spent = 1000 * (time.monotonic() - began)
            asked = f"{scope['method']} {scope['path']}".encode("unicode_escape").decode()
            access.info("%s %s %s %d %.0f ms", answer.request_id, name, asked, answer.status, spent)

    async def _refuse(self, refusal: Refusal, answer: _Answer) -> None:
        self._usage.refuse(refusal.counted)
        await answer.refuse(refusal)

    async def _let_through(self, name: str, scope: Scope, receive: Receive, answer: _Answer) -> None:
        self._usage.enter(name)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            self._usage.leave(name)

    def _admitted(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Whose request it is; "-" where that does not matter. Raises Refusal."""
        host = headers.get("host", "")
        if _without_port(host) not in self._hosts:
            raise Refusal(403, "forbidden", "host", "the service is not reached by this name (service.hosts)")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refusal(403, "forbidden", "origin", "pages of other sites may not ask this service")
        token = _token(headers)
        name = owner(token, self._digests()) if token else None
        if name is None and not self._open.admits(scope["path"]):
            said = "expected a bearer token, or a login" if token is None else "this token is not, or no longer, known"
            raise Refusal(401, "unauthorized", "token", said)
        return name or "-"

    def _limited(self, scope: Scope, headers: Mapping[str, str], receive: Receive, answer: _Answer) -> Receive:
        """`receive` that takes no more than a body may have. Raises Refusal where its length is told beforehand.

        Streams of news, which have no end of their own, are told that nobody listens once the service ends.
        """
        most, came = self._settings.limits.body_bytes, 0
        too_large = Refusal(413, "too_many", "body", f"the body has more than {most:,} bytes")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise too_large

        async def limited() -> Message:
            nonlocal came
            if self._usage.closing and scope["method"] == "GET":
                return {"type": "http.disconnect"}
            message = await receive()
            came += len(message.get("body", b""))
            if came <= most:
                return message
            # whoever reads the body would take what is raised for an error of its own
            await self._refuse(too_large, answer)
            return {"type": "http.disconnect"}

        return limited


class _Answer:
    """The answer to one request: it has our headers, whoever writes it."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self.request_id, self.status, self._refused = send, request_id, 0, False

    async def send(self, message: Message) -> None:
        """Pass a message of the application on, unless its request was refused."""
        if not self._refused:
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            there = {name.lower() for name, _ in message["headers"]}
            ours = {**HEADERS, "x-request-id": self.request_id}
            more = [(name.encode(), value.encode()) for name, value in ours.items() if name.encode() not in there]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Say why a request goes no further, if nothing is said yet."""
        if self.status:
            return
        self._refused = True
        body = json.dumps({"error": {"message": str(refusal), "type": refusal.kind, "details": []}}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += {401: [(b"www-authenticate", b"Bearer")], 429: [(b"retry-after", b"1")]}.get(refusal.status, [])
        await self._pass_on({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self._pass_on({"type": "http.response.body", "body": body})


def _request_id(given: str) -> str:
    return given if _ID.fullmatch(given) else uuid.uuid4().hex


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _token(headers: Mapping[str, str]) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token:
        return token.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie else None
