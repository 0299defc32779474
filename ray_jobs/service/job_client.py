"""Jobs on a Ray cluster, seen from outside: connect, follow, stop, describe, and what their end means.

A cluster with token authentication takes RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
~/.ray/auth_token from the submitter's environment, as Ray's own client does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import requests
from ray.dashboard.modules.job.pydantic_models import JobDetails
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from evolve.masking import mask_text
from ray_jobs.errors import ClusterError, Stopped

RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 120.0
"""How long a cluster that no longer answers is asked again before following is given up."""

SIGNAL_BASE = 128
"""A process that a signal ended leaves with this plus the signal's number, as shells report it."""


class JobClient:
    """The jobs of the cluster whose dashboard is at `address`. Every method raises ClusterError where that fails."""

    def __init__(self, address: str) -> None:
        self.address = address
        with self.asking():
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
        except RuntimeError as error:  # Ray's client raises just this for every request that is refused
            raise ClusterError(f"{self.address}: {_said(error)}") from None

    def info(self, job_id: str) -> JobDetails:
        """What the cluster knows of a job. Holds the values of its environment variables: never print it whole."""
        with self.asking():
            return self.ray.get_job_info(job_id)

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop in good order; False where it had ended already."""
        with self.asking():
            return self.ray.stop_job(job_id)

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


def describe(info: JobDetails) -> str:
    """A job in lines for people, without its environment and without what shows to be secret in its command."""
    lines = [f"status   {info.status}", f"entry    {mask_text(info.entrypoint)}"]
    if info.start_time:
        began = datetime.fromtimestamp(info.start_time / 1000, UTC)
        ended = datetime.fromtimestamp(info.end_time / 1000, UTC) if info.end_time else datetime.now(UTC)
        lines.append(f"began    {began:%Y-%m-%d %H:%M:%S} UTC, {_rounded(ended - began)} ago or long")
    if JobStatus(info.status).is_terminal():
        lines.append(f"exit     {exit_code(info)}")
    if info.message:
        lines.append(f"message  {mask_text(info.message.splitlines()[0])}")
    return "\n".join(lines)


def _rounded(length: timedelta) -> timedelta:
    return timedelta(seconds=round(length.total_seconds()))


def _said(error: RuntimeError) -> str:
    """What the cluster said: its first line, or the last one of the traceback that it sent along."""
    lines = [line for line in str(error).splitlines() if line.strip(" .")] or ["no reason given"]
    return lines[-1] if "Traceback" in lines[0] else lines[0]
