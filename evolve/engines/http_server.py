"""A client of one HTTP server that takes JSON, many requests at once.

A request costs a fraction of a millisecond of CPU here, whatever is under way beside it.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from evolve.engines.pace import Pace
from evolve.engines.quota import Allowance, Limits, OwnQuota
from evolve.errors import SettingError
from evolve.listening import URGENCY

Answer = TypeVar("Answer")
Cost = Callable[[Any], tuple[int, int]]
"""The tokens of prompt and reply that an answer tells."""
LONGEST_ASKED = 60.0
"""Seconds of a pause that a server asks for; a longer one is not waited for."""
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
GONE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


class Refused(Exception):
    """A server has answered, and would answer the same again: its status and what it says.

    With the status 200 it is a page in the place of an answer, with 0 something that is no HTTP.
    """

    def __init__(self, status: int, message: str, server: HttpServer) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status, self.server = status, server


class Gone(Exception):
    """A server has not answered, however often it was asked.

    `status` is what it said last, if anything, and `asked` the seconds that it wants to be left alone; `broken` is an
    answer that began and was none.
    """

    def __init__(
        self,
        message: str,
        server: HttpServer,
        status: int | None = None,
        asked: float | None = None,
        broken: bool = False,
    ) -> None:
        super().__init__(message)
        self.server, self.status, self.asked, self.broken = server, status, asked, broken


class Unreachable(Gone):
    """Nobody is there: no host has the name, or none listens at the port."""


class Odd(Exception):
    """A good status with something else than an answer, which counts as `status`; with `page` no server of ours is."""

    def __init__(self, status: int, message: str, page: bool = False) -> None:
        super().__init__(message)
        self.status, self.page = status, page


class HttpServer:
    """The server at `url`, a base to which paths are added; a user and password in it go into a header, no message.

    `key` is a bearer token, which messages call `key_name`, if there are others. A request may take `timeout` seconds;
    `most` are under way at once, at its `pace`, under the `allowance` of its key. Proxies are those of the environment.
    Raises SettingError where the address is none, or the key no header can hold.
    """

    def __init__(
        self, url: str, key: str, timeout: float, most: int, allowance: Allowance | None = None, key_name: str = ""
    ) -> None:
        self.base, login, self._query = _split(url)
        self.name = f"{self.base}, under the key of {key_name}," if key_name else self.base
        key = key.strip()
        if not (key.isascii() and key.isprintable()):
            raise SettingError("api_key_env: expected a key of printable ASCII characters, the variable holds others")
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        if login:
            self._headers["Authorization"] = aiohttp.encode_basic_auth(*login)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, CONNECT_SECONDS))
        self._proxy, self.pace, self.answered = proxy_of(self.base), Pace(most), False
        self._allowance = allowance or Allowance(OwnQuota(), "", Limits())
        self._session: aiohttp.ClientSession | None = None

    async def once(self, path: str, body: bytes, read: Callable[[bytes], Answer], failed: int, cost: Cost) -> Answer:
        """What `read` makes of the answer to one try, after so many that `failed`. Raises Refused, Gone, Unreachable.

        A connection that was kept open, and closed by the server just when it was to be used again, is no failure.
        """
        said_tokens = await self._allowance.take(len(body))
        used, began = (0, 0), time.monotonic()
        try:
            try:
                answer = await self._asked(path, body)
            except aiohttp.ServerDisconnectedError:
                answer = await self._asked(path, body)
            found = self._read(*answer, read, failed, began)
            used = cost(found)
        except GONE as error:
            self.pace.was_away(began, time.monotonic())
            raise _gone(error, self) from error
        finally:
            self._allowance.used(said_tokens, *used)
        self.answered = True
        self.pace.was_good(began, time.monotonic())
        return found

    def _read(
        self,
        status: int,
        headers: Mapping[str, str],
        content: bytes,
        read: Callable[[bytes], Answer],
        failed: int,
        began: float,
    ) -> Answer:
        message, page = "", False
        if status < 300:
            try:
                return read(content)
            except Odd as odd:
                status, message, page = odd.status, str(odd), odd.page
        message, asked = message or said(content), _asked_pause(headers)
        if page and failed >= PAGES:
            raise Refused(200, message, self)
        if not (status >= 500 or status in BUSY or status in _AGAIN) or status in _NEVER or QUOTA in content:
            raise Refused(status, message, self)
        if status in BUSY:
            self.pace.was_busy(began, time.monotonic(), asked)
        elif status >= 500:
            self.pace.was_away(began, time.monotonic())
        raise Gone(f"{status}: {message}", self, status, asked)

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
                raise Refused(moved, f"it has moved to {answer.url}", self)
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


def _gone(error: BaseException, server: HttpServer) -> Gone:
    """What has become of the server. Raises Refused for what stays so however often it is asked."""
    if isinstance(error, aiohttp.ClientSSLError) and _NO_TLS.search(str(error)):
        raise Refused(0, _words(error), server) from error
    if isinstance(error, aiohttp.TooManyRedirects):
        raise Refused(error.history[-1].status, "it sends the request in a circle", server) from error
    nobody = isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(
        getattr(error, "os_error", None), ConnectionRefusedError
    )
    if nobody:
        return Unreachable(_words(error), server)
    broken = isinstance(
        error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError | aiohttp.ServerDisconnectedError
    )
    return Gone(_words(error), server, broken=broken)


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
