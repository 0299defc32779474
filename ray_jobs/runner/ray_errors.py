"""What went wrong behind an error that Ray raises."""

from __future__ import annotations

import re

from ray.exceptions import RayError

from ray_jobs.errors import EngineRefuses, JobError, PoolError
from ray_jobs.pipeline.monitor import Snapshot

MAX_CHARACTERS = 600
_ADVICE = re.compile(r"\s*\bFailed to [^\n]{1,100} after \d+/\d+ attempts \(total backoff .*", re.DOTALL)
"""What Ray Data appends to the message of an error in a task: how to have it retry, which is not for our users."""
_REFUSED = re.compile(rf"^{EngineRefuses.__module__}\.{EngineRefuses.__name__}: (.+)$", re.MULTILINE)
_RAISED = re.compile(r"^[\w.]*(?:Error|Exception)\b", re.MULTILINE)


def job_error(error: RayError) -> JobError:
    """`error` as one of ours: what a worker raised keeps its meaning if it is a JobError, else the pool is at fault."""
    if refused := list(_REFUSED.finditer(_ADVICE.sub("", str(error)))):
        # what a row's code raises comes here as the text of its traceback alone
        return EngineRefuses(refused[-1][1])
    cause = _root_cause(error)
    if not isinstance(cause, JobError):
        return PoolError(_named(cause))
    cause.args = (_ADVICE.sub("", str(cause)),)
    return cause


def pool_error(error: RayError, latest: Snapshot | None) -> JobError:
    """`error` as `job_error` tells it, or where a pool is at fault why its last worker ended, as far as one said so."""
    known = job_error(error)
    for name, pool in latest.pools.items() if latest else ():
        if pool.cause and type(known) is PoolError:
            return PoolError(f"pool {name}: {pool.cause}")
    return known


def _root_cause(error: BaseException) -> BaseException:
    """What a worker really raised: the error of ours, or else the innermost, in a chain of Ray's errors."""
    if isinstance(error, JobError) and not isinstance(error, RayError):
        return error
    cause = getattr(error, "cause", None) or error.__cause__
    # Ray Data puts exceptions without a message there, as marks
    return _root_cause(cause) if isinstance(cause, BaseException) and str(cause) else error


def _named(error: BaseException) -> str:
    """The error's class and message on one line; the last one of a worker's traceback where Ray has but its text."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, RayError) and (raised := list(_RAISED.finditer(str(error)))):
        text = str(error)[raised[-1].start() :]
    line = " ".join(_ADVICE.sub("", text).split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[:MAX_CHARACTERS]}..."
