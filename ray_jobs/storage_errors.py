"""Says in a sentence why storage failed, from the exceptions that the object-store clients raise."""

from __future__ import annotations

import io
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from ray_jobs.errors import MissingFile, StorageError, StoreAway

Result = TypeVar("Result")
log = logging.getLogger(__name__)

_BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_DENIED = {"403", "AccessDenied", "AllAccessDisabled", "Forbidden"}
# Compared by name, for the client library of a store is installed only where that store is used.
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"}
_UNREACHABLE = {
    "ClientConnectorError",
    "ClientOSError",
    "ClientPayloadError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "FSTimeoutError",
    "IncompleteReadError",
    "ReadTimeoutError",
    "ResponseStreamingError",
    "ServerDisconnectedError",
}
_OVERLOADED = {
    "500",
    "502",
    "503",
    "504",
    "InternalError",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0


@contextmanager
def explained(operation: str, url: str) -> Iterator[None]:
    """Raise whatever goes wrong inside as a StorageError: `url`: cannot `operation` ("read"): the cause."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # each client library has its own classes of error, with no common root
        raise storage_error(error, operation, url) from error


def persist(call: Callable[[], Result], operation: str, url: str, patience: float) -> Result:
    """What `call` returns, its errors explained; while the store is away it is called again for `patience` seconds.

    `call` must bear repetition. Pauses double up to a quarter of a minute and vary, so that workers do not return
    to a store in step.
    """
    deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
    while True:
        try:
            with explained(operation, url):
                return call()
        except StoreAway as away:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("%s; trying again for %.0f s", away, deadline - time.monotonic())
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST_PAUSE)


class ExplainedReader(io.RawIOBase):
    """Turns the errors of a file that is being read into StorageErrors, and waits for a store that is away.

    Parsers above it then tell a damaged file (their own errors) from a store that failed.
    """

    def __init__(self, raw: Any, url: str, patience: float) -> None:
        self._raw, self._url, self._patience = raw, url, patience

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as one read goes; the number of bytes, 0 at the end."""
        return cast(int, persist(lambda: self._raw.readinto(buffer), "read", self._url, self._patience))

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


def storage_error(error: Exception, operation: str, url: str) -> StorageError:
    """What `error`, raised by a client that was to `operation` the file at `url`, means to a user.

    A MissingFile where only the file is missing, as opposed to its bucket.
    """
    message = f"{url}: cannot {operation}: {_why(error)}"
    if isinstance(error, FileNotFoundError) and response_code(error) != "NoSuchBucket":
        return MissingFile(message)
    return StoreAway(message) if _is_away(error) else StorageError(message)


def _is_away(error: Exception) -> bool:
    return response_code(error) in _OVERLOADED or bool({type(link).__name__ for link in _chain(error)} & _UNREACHABLE)


def response_code(error: BaseException) -> str:
    """The error code of the S3 response behind `error` ("NoSuchBucket", "412"), empty where there is none."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _why(error: Exception) -> str:
    return _why_refused(response_code(error)) or _why_unsent(error) or _why_os(error)


def _why_refused(code: str) -> str | None:
    if code == "NoSuchBucket":
        return "the bucket does not exist"
    if code in _BAD_CREDENTIALS:
        return f"the credentials are not valid ({code})"
    if code in _DENIED:
        return "permission denied; these credentials may not do this here"
    if code == "NotImplemented":
        return "this store does not support the operation"
    return None


def _why_unsent(error: Exception) -> str | None:
    names = {type(link).__name__ for link in _chain(error)}
    if names & _NO_CREDENTIALS:
        return f"no usable credentials were found ({error})"
    if names & _UNREACHABLE:
        return f"the store does not answer ({error})"
    return None


def _why_os(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    code = response_code(error)
    if code:
        return f"{code} {getattr(error, 'strerror', None) or error}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
