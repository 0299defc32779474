"""Runs as jobs of a Ray cluster: begun, stopped and looked up by the run's id, which the job carries as metadata."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ray.job_submission import JobStatus

from ray_jobs.service.job_client import JobClient, cause_of, exit_code
from ray_jobs.service.submit import PACKED_CONFIG, STOP_MARGIN_SECONDS, STOP_WAIT, add_configuration, pack

RUN = "slm_evolve_run"
"""The metadata of a job that names its run."""
DRAIN_SECONDS = 600.0
"""What `limits.drain_seconds` is where a configuration does not say."""


@dataclass(frozen=True)
class JobState:
    """The latest job of a run. `state` is `waiting`, `running`, `ended` or `stopped`; `why` is what ended it badly."""

    job_id: str
    state: str
    began: float | None = None
    exit_code: int | None = None
    why: str | None = None


class RunJobs(Protocol):
    """Whoever runs runs. All methods raise ClusterError where that fails."""

    def start(self, run_id: str, settings: Mapping[str, Any]) -> str:
        """Begin or resume a run under a whole configuration; the job's id."""

    def retry_failed(self, run_id: str, output: str, settings: Mapping[str, Any]) -> str:
        """Run the failed rows of an output again under a whole configuration; the job's id."""

    def stop(self, run_id: str) -> bool:
        """Ask the run's job to stop in good order; False where none is under way."""

    def latest(self) -> Mapping[str, JobState]:
        """The latest job of each run that has one."""


class RayJobs:
    """Jobs of the cluster whose dashboard is at `address`.

    With a `folder` of this machine, which the cluster's must be then, jobs work in it, so that relative paths mean what
    they mean to the service. `cluster` is what their drivers join (HOST:PORT): left to itself Ray looks for it among
    the processes of the machine, and may find another.
    """

    def __init__(self, address: str, folder: Path | None = None, cluster: str | None = None) -> None:
        self._address, self._folder, self._cluster = address, folder, cluster

    def start(self, run_id: str, settings: Mapping[str, Any]) -> str:
        """As RunJobs says."""
        return self._submit(run_id, ["run", PACKED_CONFIG], settings)

    def retry_failed(self, run_id: str, output: str, settings: Mapping[str, Any]) -> str:
        """As RunJobs says."""
        return self._submit(run_id, ["retry-failed", output, "--config", PACKED_CONFIG], settings)

    def _submit(self, run_id: str, arguments: list[str], settings: Mapping[str, Any]) -> str:
        drain = float((settings.get("limits") or {}).get("drain_seconds", DRAIN_SECONDS))
        client = JobClient(self._address)
        with tempfile.TemporaryDirectory(prefix="evolve-") as folder:
            package, empty = Path(folder) / "package.zip", Path(folder) / "empty"
            empty.mkdir()
            pack(empty, (), package)
            add_configuration(package, settings)
            return client.submit(
                entrypoint=entry_point(arguments, self._folder, self._cluster),
                runtime_env={
                    "working_dir": str(package),
                    "env_vars": {STOP_WAIT: str(round(drain) + STOP_MARGIN_SECONDS)},
                },
                metadata={RUN: run_id},
            )

    def stop(self, run_id: str) -> bool:
        """As RunJobs says."""
        found = self.latest().get(run_id)
        return (
            found is not None and found.state in ("waiting", "running") and JobClient(self._address).stop(found.job_id)
        )

    def latest(self) -> Mapping[str, JobState]:
        """As RunJobs says."""
        client = JobClient(self._address)
        with client.asking():
            infos = [info for info in client.ray.list_jobs() if (info.metadata or {}).get(RUN)]
        found = {}
        for info in sorted(infos, key=lambda item: item.start_time or 0):
            status = JobStatus(info.status)
            code = exit_code(info) if status.is_terminal() else None
            state = {JobStatus.PENDING: "waiting", JobStatus.RUNNING: "running", JobStatus.STOPPED: "stopped"}.get(
                status, "ended"
            )
            why = (cause_of(info) or None) if code else None
            began = info.start_time / 1000 if info.start_time else None
            found[str((info.metadata or {})[RUN])] = JobState(str(info.submission_id), state, began, code, why)
        return found


def entry_point(arguments: Sequence[str], folder: Path | None, cluster: str | None) -> str:
    """The shell's command that runs `evolve` with these arguments, in `folder` and on `cluster`, if they are given."""
    # the service's own: what PATH has may be another, or none
    words = [shlex.quote(word) for word in (sys.executable, "-m", "ray_jobs.cli", *arguments)]
    steps = [f"export RAY_ADDRESS={shlex.quote(cluster)}"] if cluster else []
    if folder is not None:
        steps.append(f"cd {shlex.quote(str(folder))}")
        words = [f'"$OLDPWD/{PACKED_CONFIG}"' if word == PACKED_CONFIG else word for word in words]
    return " && ".join([*steps, f"exec {' '.join(words)}"])
