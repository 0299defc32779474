from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ray_jobs.storage.answers import advised_pause, clocks, may_pass, response_status
from ray_jobs.storage.errors import storage_error

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def answer(status: int, code: str = "", headers: dict[str, str] | None = None, **error: str) -> OSError:
    """What s3fs raises for an answer."""
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    response: Any = {"Error": {"Code": code, **error}, "ResponseMetadata": metadata}
    raised = OSError("said so")
    raised.__cause__ = ClientError(response, "PutObject")
    return raised


class Refused(Exception):
    """As the clients of other stores than S3 have them."""

    def __init__(self, **holds: Any) -> None:
        self.__dict__.update(holds)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (answer(429, "TooManyOfThem"), True),
        (answer(429), True),
        (answer(503, "OurOwnCode"), True),
        (answer(529, "529"), True),
        (answer(599), True),
        (answer(400, "RequestTimeout"), True),
        (answer(408), True),
        (answer(409, "OperationAborted"), True),
        (answer(501, "NotImplemented"), False),
        (answer(400, "InvalidArgument"), False),
        (answer(403, "AccessDenied"), False),
        (answer(403, "RequestTimeTooSkewed"), False),
        (answer(404, "NoSuchBucket"), False),
        (answer(412, "PreconditionFailed"), False),
        (Refused(status=503), True),
        (Refused(code=429), True),
        (Refused(status_code=403), False),
        (ConnectionResetError(104, "reset"), True),
        (TimeoutError(), True),
        (ValueError("no answer at all"), False),
    ],
)
def test_the_status_says_whether_a_try_may_pass(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes


def test_finds_the_status_of_other_clients() -> None:
    assert response_status(Refused(status=418)) == 418
    assert response_status(Refused(response=Refused(status_code=418))) == 418
    assert response_status(OSError(28, "No space left on device")) == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Sat, 28 Nov 2026 12:00:09 GMT"}, 9),
        # by the store's clock, which is another than ours
        ({"retry-after": "Sat, 28 Nov 2026 18:00:09 GMT", "date": "Sat, 28 Nov 2026 18:00:00 GMT"}, 9),
        ({"retry-after": "Sat, 28 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "-5"}, 0),
        ({}, 0),
    ],
)
def test_advice(headers: dict[str, str], seconds: float) -> None:
    assert advised_pause(answer(503, headers=headers), NOW) == seconds
    assert advised_pause(Refused(status=503, headers=headers), NOW) == seconds


def test_a_skewed_clock_is_named_with_both_times() -> None:
    told = answer(403, "RequestTimeTooSkewed", RequestTime="20260101T000000Z", ServerTime="2026-11-28T12:00:00Z")
    assert clocks(told, NOW) == ("20260101T000000Z", "2026-11-28T12:00:00Z")
    # an answer without a body, as to a HEAD
    bare = answer(403, "403", {"date": "Sat, 28 Nov 2026 18:00:00 GMT"})
    assert clocks(bare, NOW) == ("2026-11-28T12:00:00Z", "2026-11-28T18:00:00Z")
    assert "clock of this machine" in str(storage_error(told, "write", "s3://b/a"))


@pytest.mark.parametrize(
    "error",
    [
        answer(403, "AccessDenied", {"date": "Sat, 28 Nov 2026 12:00:03 GMT"}),
        answer(403, "AccessDenied"),
        answer(503, "SlowDown", {"date": "Sat, 28 Nov 2026 18:00:00 GMT"}),
    ],
)
def test_a_clock_is_not_blamed_for_other_refusals(error: Exception) -> None:
    assert clocks(error, NOW) is None


def test_messages_hold_no_secret_of_a_url() -> None:
    error = ValueError("https://h/a?X-Amz-Signature=hunter2 gave nothing")
    assert "hunter2" not in str(storage_error(error, "read", "https://me:hunter2@h/a?token=hunter2"))
