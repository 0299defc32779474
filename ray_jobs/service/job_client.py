"""Jobs on a Ray cluster, seen from outside: connect, follow, stop, describe, and what their end means.

A cluster with token authentication takes RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
~/.ray/auth_token from the submitter's environment, as Ray's own client does.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import requests
from ray.dashboard.modules.job.pydantic_models import JobDetails
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from evolve.masking import mask_text
from ray_jobs.errors import ClusterError, ConfigError, Stopped

RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 120.0
"""How long a cluster that no longer answers is asked again before following is given up."""

NO_AGENT = "No available agent"
"""What a dashboard says while no node's agent takes jobs, as after its start, or where the machine is very busy."""
AGENT_SECONDS = 60.0

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""What Ray's client prefers to the address that it is given."""
SHOWN_LINES = 8
_UNKNOWN = re.compile(r"404\b.*does not exist", re.DOTALL)
_PROGRESS = re.compile(r"plan: |phase \d+ of |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+")
"""How the lines of a run's log begin that tell how far it is."""

SIGNAL_BASE = 128
"""A process that a signal ended leaves with this plus the signal's number, as shells report it."""


class JobClient:
    """The jobs of the cluster whose dashboard is at `address`, whatever the environment says of another.

    Raises ConfigError for an address that is none. Every method raises ClusterError where the cluster fails it.
    """

    def __init__(
        self, address: str, clock: Callable[[], float] = time.monotonic, wait_seconds: float = RETRY_SECONDS
    ) -> None:
        _check_address(address)
        self.address, self._clock, self._wait_seconds = address, clock, wait_seconds
        with self.asking(), _without(ADDRESS_VARIABLES):
            self.ray = JobSubmissionClient(address)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turn the client's many ways to fail into ClusterError."""
        try:
            yield
        except AuthenticationError as error:
            reason = str(error).splitlines()[0]
            raise ClusterError(
                f"{self.address}: {reason} Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
            ) from None
        except (ConnectionError, requests.RequestException, aiohttp.ClientError) as error:
            raise ClusterError(
                f"{self.address}: no Ray cluster answers here ({type(error).__name__}); expected the address of its "
                "dashboard, such as http://127.0.0.1:8265"
            ) from None
        except (ValueError, KeyError, TypeError) as error:  # an answer that it cannot read
            raise ClusterError(f"{self.address}: what answers here is no Ray dashboard ({error})") from None
        except RuntimeError as error:  # Ray's client raises just this for every request that is refused
            raise ClusterError(f"{self.address}: {_said(error)}") from None

    def submit(self, **job: Any) -> str:
        """Submit a job, as Ray's client takes it; its id. A cluster whose agents are not there yet is asked again."""
        deadline = self._clock() + AGENT_SECONDS
        while True:
            try:
                with self.asking():
                    return str(self.ray.submit_job(**job))
            except ClusterError as error:
                if NO_AGENT not in str(error) or self._clock() > deadline:
                    raise
            time.sleep(self._wait_seconds)

    def info(self, job_id: str) -> JobDetails:
        """What the cluster knows of a job. Holds the values of its environment variables: never print it whole."""
        with self._of(job_id):
            return self.ray.get_job_info(job_id)

    def log(self, job_id: str) -> str:
        """What a job has written so far."""
        with self._of(job_id):
            return str(self.ray.get_job_logs(job_id))

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop in good order; False where it had ended already."""
        with self._of(job_id):
            return self.ray.stop_job(job_id)

    @contextmanager
    def _of(self, job_id: str) -> Iterator[None]:
        """As `asking`, for a job that the cluster may not know."""
        try:
            with self.asking():
                yield
        except ClusterError as error:
            if not _UNKNOWN.search(str(error)):
                raise
            with self.asking():
                known = [str(job.submission_id) for job in self.ray.list_jobs() if job.submission_id]
            near = get_close_matches(job_id, known, SHOWN_LINES, 0.4) or known[-SHOWN_LINES:]
            raise ClusterError(
                f"{self.address}: knows no job {job_id!r}; it has {', '.join(near) or 'none that was submitted'}"
            ) from None

    def follow(self, job_id: str, write: Callable[[str], None]) -> JobDetails:
        """Write a job's log as it grows, and return the job's details once it has ended.

        A connection that breaks is made again, and the log goes on where it broke off.
        """
        log = _Log(write)
        reached = time.monotonic()
        while True:
            try:
                with self.asking():
                    asyncio.run(self._copy(job_id, log))
                info = self.info(job_id)
            except ClusterError:
                if time.monotonic() - reached > PATIENCE_SECONDS:
                    raise
            else:
                reached = time.monotonic()
                if JobStatus(info.status).is_terminal():
                    return info
            time.sleep(RETRY_SECONDS)

    async def _copy(self, job_id: str, log: _Log) -> None:
        log.begin()
        async for text in self.ray.tail_job_logs(job_id):
            log.take(text)


class _Log:
    """A log that is sent from its beginning on every connection, written once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._written = 0
        self._seen = 0

    def begin(self) -> None:
        self._seen = 0

    def take(self, text: str) -> None:
        fresh = text[max(0, self._written - self._seen) :]
        self._seen += len(text)
        if fresh:
            self._written += len(fresh)
            self._write(fresh)


def exit_code(info: JobDetails) -> int:
    """The exit code of a job that has ended: the run's own where Ray knows it, 10 for a stopped one.

    A driver that a signal killed gives 128 plus the signal's number; one that never ran or was lost with its node 1.
    """
    if info.status == JobStatus.SUCCEEDED:
        return 0
    if info.status == JobStatus.STOPPED:
        return Stopped.exit_code
    code = info.driver_exit_code
    if code is None:
        return 1
    return code if code >= 0 else SIGNAL_BASE - code


def _check_address(address: str) -> None:
    expected = f"--address {address}: expected the URL of a cluster's dashboard, such as http://127.0.0.1:8265"
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ConfigError(f"{expected} ({error})") from None
    if not usable or any(sign.isspace() for sign in address):
        raise ConfigError(expected)


@contextmanager
def _without(variables: Iterable[str]) -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def cause_of(info: JobDetails) -> str:
    """Why a job failed: the run's own last error where its output tells it, else what Ray says; "" for no reason."""
    lines = [line.strip() for line in (info.message or "").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return mask_text((errors or lines[:1] or [""])[-1].removeprefix("error: "))


def progress_in(log: str) -> list[str]:
    """How far a run is, by its log: its plan and the last lines that it wrote of its pools and of what is committed."""
    lines = [line for line in log.splitlines() if _PROGRESS.match(line)]
    plans = [line for line in lines if line.startswith(("plan: ", "phase "))]
    others = [line for line in lines if line not in plans]
    return [mask_text(line) for line in (*plans[-1:], *others[-SHOWN_LINES:])]


def describe(info: JobDetails, log: str = "") -> str:
    """A job in lines for people, without its environment and without what shows to be secret in its command.

    Of the run that it is, the `log` tells the progress.
    """
    lines = [f"status   {info.status}", f"entry    {mask_text(info.entrypoint)}"]
    if info.start_time:
        began = datetime.fromtimestamp(info.start_time / 1000, UTC)
        ended = datetime.fromtimestamp(info.end_time / 1000, UTC) if info.end_time else datetime.now(UTC)
        lines.append(f"began    {began:%Y-%m-%d %H:%M:%S} UTC, {_rounded(ended - began)} ago or long")
    if JobStatus(info.status).is_terminal():
        lines.append(f"exit     {exit_code(info)}")
    if info.status == JobStatus.FAILED and (cause := cause_of(info)):
        lines.append(f"cause    {cause}")
    elif info.message:
        lines.append(f"message  {mask_text(info.message.splitlines()[0])}")
    lines += [f"{'run' if not index else '':<8} {line}" for index, line in enumerate(progress_in(log))]
    return "\n".join(lines)


def document(info: JobDetails, log: str) -> dict[str, Any]:
    """What `describe` tells, for programs: times as in ISO 8601, and null for what is not or not yet known."""
    ended = JobStatus(info.status).is_terminal()
    times = {"began": info.start_time, "ended": info.end_time}
    return {
        "status": JobStatus(info.status).value,
        "entry": mask_text(info.entrypoint),
        **{name: datetime.fromtimestamp(at / 1000, UTC).isoformat() if at else None for name, at in times.items()},
        "exit_code": exit_code(info) if ended else None,
        "cause": (cause_of(info) or None) if info.status == JobStatus.FAILED else None,
        "run": progress_in(log),
    }


def _rounded(length: timedelta) -> timedelta:
    return timedelta(seconds=round(length.total_seconds()))


def _said(error: RuntimeError) -> str:
    """What the cluster said: its first line, or the last one of the traceback that it sent along."""
    lines = [line for line in str(error).splitlines() if line.strip(" .")] or ["no reason given"]
    return lines[-1] if "Traceback" in lines[0] else lines[0]
