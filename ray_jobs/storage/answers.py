"""What the server's answer behind an exception of a store's client says: status, code, headers, clocks, advice.

The exceptions are told by their attributes and names, for the client of a store is installed only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# Waited for although their status is another, or where an answer with status 200 holds them.
_PASSING = {
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "XAmzContentSHA256Mismatch",
}
_PASSING_STATUS = {408, 425, 429}
_NEVER = {501, 505}  # the 5xx that no later try changes: not implemented, HTTP version not supported
_LOST = {
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientOSError",
    "ClientPayloadError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "FSTimeoutError",
    "HTTPClientError",
    "IncompleteRead",
    "IncompleteReadError",
    "ProxyConnectionError",
    "ReadTimeoutError",
    "ResponseParserError",  # an answer that was cut off, or is not the store's
    "ResponseStreamingError",
    "ServerDisconnectedError",
}
_SKEWED = 900.0  # seconds of difference that S3 accepts


def chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and its causes."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def response_code(error: BaseException) -> str:
    """The error code of the S3 response behind `error` ("NoSuchBucket", "412"), empty where there is none."""
    return str(_s3_response(error).get("Error", {}).get("Code") or "")


def response_status(error: BaseException) -> int:
    """The HTTP status of the answer behind `error`, 0 where there was none."""
    status = _s3_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if isinstance(status, int):
        return status
    for link in chain(error):
        for holder in (link, getattr(link, "response", None)):
            for name in ("status", "status_code", "code"):
                status = getattr(holder, name, None)
                if isinstance(status, int) and 100 <= status < 600:
                    return status
    return 0


def was_lost(error: BaseException) -> bool:
    """Whether the request or its answer was lost on the way, as far as the client can tell."""
    return any(
        type(link).__name__ in _LOST or isinstance(link, ConnectionError | TimeoutError) for link in chain(error)
    )


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: the answer was lost, or its status says so (429 and 5xx)."""
    status = response_status(error)
    if response_code(error) in _PASSING or status in _PASSING_STATUS:
        return True
    return status >= 500 and status not in _NEVER if status else was_lost(error)


def advised_pause(error: BaseException, now: datetime) -> float:
    """Seconds that the store asks to wait (`Retry-After`, in seconds or as a date), 0 where it does not.

    A date is compared with the answer's own, or with `now` where it has none.
    """
    headers = _headers(error)
    advice = headers.get("retry-after", "").strip()
    if advice.isdecimal():
        return float(advice)
    until = _date(advice)
    return max(0.0, (until - (_date(headers.get("date", "")) or now)).total_seconds()) if until else 0.0


def clocks(error: BaseException, now: datetime) -> tuple[str, str] | None:
    """Where the answer says that a skewed clock is why: what this machine's and the store's clocks show.

    Answers without a body, and stores without a code for it, are known by their date.
    """
    response, date = _s3_response(error).get("Error", {}), _date(_headers(error).get("date", ""))
    named = response_code(error) == "RequestTimeTooSkewed"
    seen = response_status(error) == 403 and date is not None and abs((date - now).total_seconds()) > _SKEWED
    if not named and not seen:
        return None
    here = response.get("RequestTime") or f"{now:%Y-%m-%dT%H:%M:%SZ}"
    return str(here), str(response.get("ServerTime") or (f"{date:%Y-%m-%dT%H:%M:%SZ}" if date else "unknown"))


def _s3_response(error: BaseException) -> dict[str, Any]:
    for link in chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            return response
    return {}


def _headers(error: BaseException) -> dict[str, str]:
    """The headers of the answer, by small names."""
    found = _s3_response(error).get("ResponseMetadata", {}).get("HTTPHeaders")
    for link in chain(error):
        for holder in (link, getattr(link, "response", None)):
            found = found or getattr(holder, "headers", None)
    return {str(k).lower(): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
