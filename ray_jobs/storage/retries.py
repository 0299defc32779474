"""Waits for a store that is away, as long as it is allowed to and as the store asks."""

from __future__ import annotations

import io
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

from ray_jobs.errors import StoreAway
from ray_jobs.storage.answers import advised_pause
from ray_jobs.storage.errors import explained

Result = TypeVar("Result")
log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
LONGEST_ADVICE = 60.0
"""Seconds that a store's advice is followed at most; then it is asked again."""


class Clock:
    """The time, and waiting for a later one."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return that much later."""
        time.sleep(seconds)


CLOCK = Clock()


def retry(call: Callable[[], Result], operation: str, url: str, retry_seconds: float, clock: Clock = CLOCK) -> Result:
    """What `call` returns, its errors explained; while the store is away it is called again for `retry_seconds`
    seconds.

    `call` must bear repetition. Pauses double up to a quarter of a minute and vary, so that workers do not return
    to a store in step; a pause that the store asks for is kept, up to LONGEST_ADVICE. The last call is at the end.
    """
    deadline, pause = clock.now() + retry_seconds, _FIRST_PAUSE
    while True:
        try:
            with explained(operation, url):
                return call()
        except StoreAway as away:
            left = deadline - clock.now()
            if left <= 0:
                raise
            advice = advised_pause(away, datetime.now(UTC))
            wait = min(max(pause * random.uniform(0.5, 1), min(advice, LONGEST_ADVICE)), left)
            log.warning("%s; trying again in %.1f s, for %.0f s at most", away, wait, left)
        clock.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE)


class ExplainedReader(io.RawIOBase):
    """Turns the errors of a file that is being read into StorageErrors, and waits for a store that is away.

    Parsers above it then tell a damaged file (their own errors) from a store that failed.
    """

    def __init__(self, raw: Any, url: str, retry_seconds: float, clock: Clock = CLOCK) -> None:
        self._raw, self._url, self._retry_seconds, self._clock = raw, url, retry_seconds, clock

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as one read goes; the number of bytes, 0 at the end."""
        fill = partial(self._raw.readinto, buffer)
        return cast(int, retry(fill, "read", self._url, self._retry_seconds, self._clock))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to `offset`; the new place."""
        return cast(int, self._raw.seek(offset, whence))

    def tell(self) -> int:
        """The place of the next read."""
        return cast(int, self._raw.tell())

    def close(self) -> None:
        """Close the file beneath, once."""
        if not self.closed:
            self._raw.close()
        super().close()
