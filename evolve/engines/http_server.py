"""A client of one HTTP server that takes JSON: many requests at once, repeated where that helps, at its pace.

A request costs a fraction of a millisecond of CPU here, whatever is under way beside it.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from evolve.errors import SettingError
from evolve.listening import URGENCY

Answer = TypeVar("Answer")
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_ASKED = 0.5, 8.0, 60.0
"""Seconds before a request is repeated: at first, at most, and at most where the server asks for a time."""
CONNECT_SECONDS = 30.0
MESSAGE_CHARACTERS = 500
BUSY = frozenset({429, 503, 529})
"""What servers answer that want fewer requests at once."""
_AGAIN = frozenset({408, 409, 425})
_NEVER = frozenset({501, 505, 511})
"""Errors of a server that no other try mends."""
_TO_GET = frozenset({301, 302, 303})
"""What sends a request to another address, where it comes as one that asks for a page."""
QUOTA = b"insufficient_quota"
"""The word of a server that is busy for as long as nobody pays."""
PAGES = 2
"""How often a page that is no answer of such a server is asked for again."""
_NO_TLS = re.compile("CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|record layer failure")
"""What is said of a server whose certificate nobody trusts, and of one that does not encrypt."""
_GONE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


class Refused(Exception):
    """The server has answered, and would answer the same again: its status and what it says.

    With the status 200 it is a page in the place of an answer, with 0 something that is no HTTP.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


class Gone(Exception):
    """The server has not answered, however often it was asked.

    `status` is what it said last, if anything, and `asked` the seconds that it wants to be left alone; `broken` is an
    answer that began and was none.
    """

    def __init__(
        self, message: str, status: int | None = None, asked: float | None = None, broken: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.asked, self.broken = status, asked, broken


class Unreachable(Gone):
    """Nobody is there: no host has the name, or none listens at the port."""


class Odd(Exception):
    """A good status with something else than an answer, which counts as `status`; with `page` no server of ours is."""

    def __init__(self, status: int, message: str, page: bool = False) -> None:
        super().__init__(message)
        self.status, self.page = status, page


class Pace:
    """How many requests are under way at once: `most`, less while the server says that it is busy.

    Each answer that says so halves the number, once for all requests that were under way then; every good one lets it
    grow, by one for as many answers as there are requests at once.
    """

    def __init__(self, most: int) -> None:
        self.most, self.allowed = most, float(most)
        self._under_way, self._slowed, self._paused_until = 0, 0.0, 0.0
        self._changed = asyncio.Condition()

    async def begin(self) -> float:
        """Wait for a turn; the moment at which it came."""
        while (pause := self._paused_until - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        async with self._changed:
            await self._changed.wait_for(lambda: self._under_way < max(1, int(self.allowed)))
            self._under_way += 1
        return time.monotonic()

    async def end(self) -> None:
        """Give the turn back."""
        async with self._changed:
            self._under_way -= 1
            # the number may have grown by one meanwhile
            self._changed.notify(2)

    def was_good(self) -> None:
        """The server has answered."""
        self.allowed = min(self.most, self.allowed + 1 / self.allowed)

    def was_busy(self, began: float, pause: float | None) -> None:
        """The server has said to a request that `began` then that it is busy, and for how long, if it did."""
        if pause:
            self._paused_until = max(self._paused_until, time.monotonic() + pause)
        if began > self._slowed:
            self.allowed = max(1.0, self.allowed / 2)
            self._slowed = time.monotonic()


class HttpServer:
    """The server at `url`, a base to which paths are added; a user and password in it go into a header, no message.

    `key` is a bearer token. A request may take `timeout` seconds and is repeated `retries` times, with growing pauses
    or as the server asks. Proxies are those of the environment. Raises SettingError where the address is none, or the
    key no header can hold.
    """

    def __init__(self, url: str, key: str, timeout: float, retries: int, most: int) -> None:
        self.base, login, self._query = _split(url)
        key = key.strip()
        if not (key.isascii() and key.isprintable()):
            raise SettingError("api_key_env: expected a key of printable ASCII characters, the variable holds others")
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        if login:
            self._headers["Authorization"] = aiohttp.encode_basic_auth(*login)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, CONNECT_SECONDS))
        self._retries, self._proxy = retries, proxy_of(self.base)
        self.pace = Pace(most)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, read: Callable[[bytes], Answer], retries: int | None = None) -> Answer:
        """What `read` makes of the server's answer, or raises Odd for. `retries` stands for the server's own.

        Raises Refused, Gone, and Unreachable.
        """
        failed, repeated = 0, False
        while True:
            try:
                return await self._once(path, body, read, failed)
            except aiohttp.ServerDisconnectedError as error:
                # the server has closed a connection that was kept open, just when it was to be used again
                if not repeated:
                    repeated = True
                    continue
                problem = Gone(_words(error), broken=True)
            except _GONE as error:
                problem = _gone(error)
            except Gone as gone:
                problem = gone
            failed += 1
            if failed > (self._retries if retries is None else retries):
                raise problem
            await asyncio.sleep(_pause(failed) if problem.asked is None else problem.asked)

    async def _once(self, path: str, body: bytes, read: Callable[[bytes], Answer], failed: int) -> Answer:
        """One try, after so many that `failed`. Raises Refused, Gone, and what aiohttp does."""
        began = await self.pace.begin()
        try:
            status, headers, content = await self._asked(path, body)
            message, page = "", False
            if status < 300:
                try:
                    found = read(content)
                except Odd as odd:
                    status, message, page = odd.status, str(odd), odd.page
                else:
                    self.pace.was_good()
                    return found
            message, asked = message or said(content), _asked_pause(headers)
            if page and failed >= PAGES:
                raise Refused(200, message)
            if not (status >= 500 or status in BUSY or status in _AGAIN) or status in _NEVER or QUOTA in content:
                raise Refused(status, message)
            if status in BUSY:
                self.pace.was_busy(began, asked)
            raise Gone(f"{status}: {message}", status, asked)
        finally:
            await self.pace.end()

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    async def _asked(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), headers=self._headers, timeout=self._timeout
            )
        url, urgency = f"{self.base}{path}", {"Priority": f"u={URGENCY.get()}"}
        asked = self._session.post(url, data=body, params=self._query or None, proxy=self._proxy, headers=urgency)
        async with asked as answer:
            moved = next((past.status for past in answer.history if past.status in _TO_GET), None)
            if moved:
                raise Refused(moved, f"it has moved to {answer.url}")
            return answer.status, answer.headers, await answer.read()


def said(content: bytes) -> str:
    """What a server says of an error: the message in its JSON, or the beginning of its text."""
    with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        found = msgspec.json.decode(content)
        error = found.get("error", found) if isinstance(found, dict) else found
        message = error.get("message", error.get("detail")) if isinstance(error, dict) else error
        if isinstance(message, str) and message:
            return _line(message)
    return _line(content.decode(errors="replace")) or "no message"


def _line(text: str) -> str:
    """The beginning of `text` on one line, without what a terminal would obey."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * MESSAGE_CHARACTERS])
    return " ".join(shown.split())[:MESSAGE_CHARACTERS]


def _asked_pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks for; None where it asks for none, or for longer than we wait."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        seconds: float | None = milliseconds / 1000
    elif (seconds := _number(after := headers.get("retry-after"))) is None and after:
        with suppress(ValueError, TypeError):
            seconds = parsedate_to_datetime(after).timestamp() - time.time()
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_ASKED else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _pause(failed: int) -> float:
    # spread, so that requests which failed together do not come again together
    seconds: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failed - 1))
    return seconds * random.uniform(0.75, 1)


def _gone(error: BaseException) -> Gone:
    """What has become of the server. Raises Refused for what stays so however often it is asked."""
    if isinstance(error, aiohttp.ClientSSLError) and _NO_TLS.search(str(error)):
        raise Refused(0, _words(error)) from error
    if isinstance(error, aiohttp.TooManyRedirects):
        raise Refused(error.history[-1].status, "it sends the request in a circle") from error
    nobody = isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(
        getattr(error, "os_error", None), ConnectionRefusedError
    )
    if nobody:
        return Unreachable(_words(error))
    return Gone(_words(error), broken=isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def proxy_of(url: str) -> str | None:
    """The proxy by which the environment wants `url` to be asked; None for none."""
    parts, proxies = urlsplit(url), getproxies()
    if parts.hostname and proxy_bypass(parts.hostname):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _split(url: str) -> tuple[str, tuple[str, str] | None, dict[str, str]]:
    """A server's base without what may be secret, the login that stood in it, and its query."""
    try:
        parts = urlsplit(url)
        there = parts.hostname and parts.port != 0 and not re.search(r"\s", parts.netloc)
    except ValueError:
        there = None
    if not there or parts.scheme not in ("http", "https"):
        raise SettingError("url: expected an address such as http://HOST:PORT/v1, got something else")
    user, password = (unquote(part or "") for part in (parts.username, parts.password))
    login = (user, password) if user or password else None
    base = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return base.geturl().rstrip("/"), login, dict(parse_qsl(parts.query))
