"""Requests and tokens a minute: counted a key, for all who ask under it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from evolve.errors import SettingError

Place = TypeVar("Place")
FIRST_TOKENS = 500
"""What a reply is taken to cost while none has come."""
CHARACTERS_A_TOKEN = 4
SECONDS = 61
"""A minute's allowance is given out over so long, and what one second brings is saved: no minute gets more."""


class Limits(NamedTuple):
    """What a key may ask for in a minute; 0: any number."""

    requests: int = 0
    tokens: int = 0


class Grant(NamedTuple):
    """How many requests may begin now; with none, after how many seconds to ask again."""

    requests: int
    wait: float = 0.0


class Quota(Protocol):
    """Whoever counts."""

    async def ask(self, key: str, limits: Limits, wanted: int, each: int, more: int) -> Grant:
        """Ask for `wanted` requests of `each` so many tokens; earlier ones took `more` than was said (or less, < 0)."""
        ...


@dataclass
class _Bucket:
    """What a key may use now, less than nothing where more was used than was said."""

    at: float
    requests: float = 1.0
    tokens: float = 0.0


class Counts:
    """The allowances of all keys, by a clock that the caller reads."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def grant(self, key: str, limits: Limits, wanted: int, each: int, more: int, now: float) -> Grant:
        """See `Quota.ask`."""
        bucket = self._buckets.setdefault(key, _Bucket(now))
        seconds, bucket.at = now - bucket.at, now
        requests, tokens = limits.requests / SECONDS, limits.tokens / SECONDS
        bucket.requests = min(max(1.0, requests), bucket.requests + seconds * requests)
        bucket.tokens = min(tokens, bucket.tokens + seconds * tokens) - more
        if limits.tokens and bucket.tokens < 0:
            return Grant(0, -bucket.tokens / tokens)
        if limits.requests and bucket.requests < 1:
            return Grant(0, (1 - bucket.requests) / requests)
        given = min(wanted, int(bucket.requests)) if limits.requests else wanted
        if limits.tokens:
            # one that is larger than what is saved must pass too; what it takes too much is waited for after it
            given = min(given, max(1, int(bucket.tokens // max(1, each))))
        bucket.requests -= given
        bucket.tokens -= given * each
        return Grant(given)


class OwnQuota:
    """Counts for this process alone."""

    def __init__(self) -> None:
        self._counts = Counts()

    async def ask(self, key: str, limits: Limits, wanted: int, each: int, more: int) -> Grant:
        """See `Quota.ask`."""
        return self._counts.grant(key, limits, wanted, each, more, time.monotonic())


QUOTA: ContextVar[Quota | None] = ContextVar("quota", default=None)
"""Who counts for engines that are built here; None: each engine for itself."""


@contextmanager
def counted_by(quota: Quota) -> Iterator[None]:
    """Engines that are built in the block ask `quota`."""
    token = QUOTA.set(quota)
    try:
        yield
    finally:
        QUOTA.reset(token)


@dataclass
class Allowance:
    """One key's, as a client uses it: asks for as many requests as wait for it. Without limits it never waits."""

    quota: Quota
    key: str
    limits: Limits
    _granted: int = 0
    _each: int = 0
    _waiting: int = 0
    _more: int = 0
    _reply: float = FIRST_TOKENS
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self, characters: int) -> int:
        """Wait until a request of so many characters may begin; the tokens that it was taken to cost."""
        if self.limits == Limits():
            return 0
        self._waiting += 1
        try:
            async with self._asking:
                while not self._granted:
                    more, self._more = self._more, 0
                    self._each = characters // CHARACTERS_A_TOKEN + int(self._reply)
                    grant = await self.quota.ask(self.key, self.limits, self._waiting, self._each, more)
                    self._granted = grant.requests
                    if not grant.requests:
                        await asyncio.sleep(grant.wait)
                self._granted -= 1
                return self._each
        finally:
            self._waiting -= 1

    def used(self, said: int, prompt: int = 0, completion: int = 0) -> None:
        """What was `said` to cost so many tokens has taken these: none where no reply came."""
        if self.limits.tokens:
            self._more += prompt + completion - said
            self._reply += (completion - self._reply) / 16 if completion else 0


def paired(urls: Sequence[Place], keys: Sequence[str]) -> list[tuple[Place, str]]:
    """Each URL with its key: one for all of them, each its own, or all for the one URL. Raises SettingError."""
    if len(urls) == 1 or len(keys) == 1:
        return [(url, key) for url in urls for key in keys]
    if len(urls) != len(keys):
        raise SettingError(f"api_key_env: expected one name, or one for each of {len(urls)} URLs, got {len(keys)}")
    return list(zip(urls, keys, strict=True))
