"""Says in a sentence why storage failed, from the exceptions that the object-store clients raise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from evolve.masking import mask_text
from ray_jobs.errors import MissingFile, StorageError, StoreAway
from ray_jobs.storage.answers import chain, clocks, may_pass, response_code, response_status, was_lost

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


@contextmanager
def explained(operation: str, url: str) -> Iterator[None]:
    """Raise whatever goes wrong inside as a StorageError: `url`: cannot `operation` ("read"): the cause."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # each client library has its own classes of error, with no common root
        raise storage_error(error, operation, url) from error


def storage_error(error: Exception, operation: str, url: str) -> StorageError:
    """What `error`, raised by a client that was to `operation` the file at `url`, means to a user.

    A MissingFile where only the file is missing, as opposed to its bucket; StoreAway where the same may succeed later.
    Secrets in URLs are masked, also in what the client says.
    """
    message = mask_text(f"{url}: cannot {operation}: {_why(error)}")
    if isinstance(error, FileNotFoundError) and response_code(error) != "NoSuchBucket":
        return MissingFile(message)
    return StoreAway(message) if may_pass(error) else StorageError(message)


def _why(error: Exception) -> str:
    return _why_clock(error) or _why_refused(response_code(error)) or _why_unsent(error) or _why_os(error)


def _why_clock(error: Exception) -> str | None:
    shown = clocks(error, datetime.now(UTC))
    if shown is None:
        return None
    here, there = shown
    return f"the clock of this machine differs too much from the store's; here it is {here}, there {there}"


def _why_refused(code: str) -> str | None:
    if code == "NoSuchBucket":
        return "the bucket does not exist"
    if code in _BAD_CREDENTIALS:
        return f"the credentials are not valid ({code})"
    if code in _DENIED:
        return "permission denied; these credentials may not do this here"
    if code in ("NotImplemented", "501"):
        return "this store does not support the operation"
    return None


def _why_unsent(error: Exception) -> str | None:
    names = {type(link).__name__ for link in chain(error)}
    if names & _NO_CREDENTIALS:
        return f"no usable credentials were found ({error})"
    if not response_status(error) and was_lost(error):
        return f"the store does not answer ({error})"
    return None


def _why_os(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    code, status = response_code(error), response_status(error)
    if code or status:
        # what aiohttp raises names URL and status again in its text
        said = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        return f"{code or status} {said}" + (f" (HTTP status {status})" if code and code != str(status) else "")
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
