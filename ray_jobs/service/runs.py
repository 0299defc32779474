"""Runs as the service sees them: from the outputs below its roots and the cluster's jobs, with no memory of its own.

What is kept here for a moment can be lost at any time: a service that is killed and started again shows the same.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from evolve.masking import mask_url
from ray_jobs.errors import ClusterError, JobError, MissingFile, OutputError
from ray_jobs.jobs.stores import stores_of
from ray_jobs.output import accept, lease
from ray_jobs.output.accepted import Accepted
from ray_jobs.output.columns import HEADLINES
from ray_jobs.output.file_names import RUN, SUCCESS
from ray_jobs.output.run_files import load_sessions, pools, read_json
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.service.answers import NotFound
from ray_jobs.service.figures import Found, by_round, eta, groups, mean, planned, pool_lines, reasons
from ray_jobs.service.jobs import JobState
from ray_jobs.service.records import Records
from ray_jobs.service.state import ServiceState
from ray_jobs.storage.store import Store

ID = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
SILENT_SECONDS = 20.0
"""How long a holder's heartbeat may stand still before the run counts as not heard from."""
FRESH_SECONDS = 1.0


class Runs:
    """The runs below the roots of a service."""

    def __init__(self, state: ServiceState, clock: Callable[[], float] = time.time) -> None:
        self._state, self._clock = state, clock
        self._own = None if state.cache else tempfile.TemporaryDirectory(prefix="evolve-index-")
        self._folder = Path(state.cache or (self._own.name if self._own else ""))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._beats: dict[str, tuple[bytes | None, float]] = {}
        self._records: dict[str, tuple[tuple[str, ...], Records]] = {}
        self._read: dict[str, tuple[float, Found]] = {}
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        """The names of all runs: folders directly below a root that hold one."""
        found = dict[str, None]()
        for root in self._state.roots:
            store = self._state.open(root)
            found.update(dict.fromkeys(name for name in store.names() if ID.fullmatch(name) and _is_run(store, name)))
        return list(found)

    def place(self, run_id: str) -> str:
        """Where a run lies. Raises NotFound."""
        if ID.fullmatch(run_id):
            for root in self._state.roots:
                if _is_run(self._state.open(root), run_id):
                    return f"{root.rstrip('/')}/{run_id}"
        raise NotFound(f"run {run_id}: there is none below the folders of this service")

    def find(self, run_id: str) -> Found:
        """Read how a run stands, at most once a second. Raises NotFound."""
        with self._lock:
            then, found = self._read.get(run_id, (0.0, None))
            if found and self._clock() - then < FRESH_SECONDS:
                return found
        found = self._find(run_id)
        with self._lock:
            self._read[run_id] = (self._clock(), found)
        return found

    def _find(self, run_id: str) -> Found:
        place = self.place(run_id)
        outer = self._state.open(place)
        with suppress(OutputError):
            # of a run with phases the last one that has begun
            store = list(stores_of(outer).values())[-1]
            return Found(
                store, place, read_json(store, RUN), accept.load(store), load_sessions(store), store.exists(SUCCESS)
            )
        return Found(outer, place, {}, Accepted(), [], False)

    def records(self, run_id: str) -> Records:
        """The records of a run, with the indexes that were made before."""
        found = self.find(run_id)
        names = tuple(f"{part.name}{part.extra}" for part in found.accepted.parts)
        with self._lock:
            then, records = self._records.get(run_id, ((), None))
            if records is None or then != names:
                records = Records(found.store, found.accepted, self._folder)
                self._records[run_id] = (names, records)
            return records

    def list(self) -> list[dict[str, Any]]:
        """A line a run, the latest first. One that cannot be read says why."""
        jobs, _ = self.jobs()
        lines = []
        for run_id in self.ids():
            try:
                lines.append(self.line(run_id, jobs.get(run_id)))
            except JobError as error:
                lines.append({"id": run_id, "state": "unreadable", "why": str(error), "started_at": None})
        # begun as a job, and nothing written yet
        for run_id in jobs.keys() - {line["id"] for line in lines}:
            job = jobs[run_id]
            if job.state in ("waiting", "running") or job.exit_code:
                lines.append(_only_job(run_id, job))
        return sorted(lines, key=lambda line: str(line["started_at"] or ""), reverse=True)

    def jobs(self) -> tuple[Mapping[str, JobState], str | None]:
        """The latest job of each run, and why they cannot be seen."""
        try:
            return (self._state.jobs.latest() if self._state.jobs else {}), None
        except ClusterError as error:
            return {}, str(error)

    def line(self, run_id: str, job: JobState | None) -> dict[str, Any]:
        """How a run stands, in the few numbers of a list."""
        found = self.find(run_id)
        counts, plan = found.accepted.manifest.outcome_counts(), found.accepted.index
        state, why, heard = self._condition(run_id, found, job)
        status = counts.by_status()
        spent = pools(found.sessions).values()
        return {
            "id": run_id,
            "place": mask_url(found.place),
            "kind": found.run.get("job"),
            "state": state,
            "why": why,
            "heard_at": heard,
            "job": job.job_id if job else None,
            "rows": {"planned": plan.asked_rows, "done": counts.rows},
            "records": {"planned": planned(found), **{name: status[name] for name in (KEPT, REJECTED, FAILED)}},
            "means": {item.name: mean(counts, item.name) for item in HEADLINES},
            "by_round": {item.name: by_round(counts, item.name) for item in HEADLINES},
            "eta_seconds": eta(found, counts) if state == "running" else None,
            "started_at": found.sessions[0].started_at if found.sessions else None,
            "seconds": round(sum(session.seconds for session in found.sessions), 1),
            "spent": {
                "gpu_hours": round(sum(float(pool.get("gpu_hours") or 0) for pool in spent), 4),
                "money": round(sum(float(pool.get("cost") or 0) for pool in spent), 4),
            },
            "budget": ((found.run.get("configuration") or {}).get("limits") or {}).get("budget"),
        }

    def _condition(self, run_id: str, found: Found, job: JobState | None) -> tuple[str, str | None, float | None]:
        """`running`, `silent`, `finished`, `waiting`, `stopped` or `failed`; why; when it was heard from last."""
        holder = lease.current(found.store) or lease.current(found.store, lease.FIRST_VERSION)
        if holder and holder.alive is not False:
            heard = self._heard(run_id, found.store, holder.number)
            if holder.alive or self._clock() - heard < SILENT_SECONDS:
                return "running", str(holder), heard
            return "silent", f"{holder} has not been heard from", heard
        if found.finished:
            return "finished", None, None
        if job and job.state == "waiting":
            return "waiting", "its job waits for the cluster", None
        if job and job.exit_code and job.state == "ended":
            return "failed", job.why or f"its job ended with {job.exit_code}", None
        if job and job.state == "running" and not (holder and job.began and holder.began >= job.began):
            # whoever held the output, if anybody did, was of an earlier job
            return "running", "its job begins", None
        gone = f"{holder} is gone" if holder else None
        return "stopped", gone, None

    def _heard(self, run_id: str, store: Store, number: int) -> float:
        """When a holder's heartbeat was seen to change last, by this service."""
        beat: bytes | None = None
        with suppress(MissingFile):
            beat = store.read_bytes(lease.EPOCHS.beat_path(number))
        before, since = self._beats.get(run_id, (None, 0.0))
        if before != beat or not since:
            self._beats[run_id] = (beat, self._clock())
        return self._beats[run_id][1]

    def one(self, run_id: str) -> dict[str, Any]:
        """A run with all that its page shows. Speed and distributions are left out until their index is made."""
        jobs, _ = self.jobs()
        try:
            line = self.line(run_id, jobs.get(run_id))
        except NotFound:
            if run_id not in jobs:
                raise
            return _only_job(run_id, jobs[run_id])
        found = self.find(run_id)
        counts = found.accepted.manifest.outcome_counts()
        records = self.records(run_id)
        indexed, files = records.prepare(0.3)
        ready = indexed == files
        plan = found.accepted.index
        return {
            **line,
            "seeds": {
                "usable": plan.usable_seeds,
                "duplicates": plan.duplicates,
                "held_out": plan.held_out,
                "unreadable": dict(plan.unreadable),
            },
            "groups": groups(found, counts),
            "reasons": reasons(counts),
            "pools": pool_lines(found, line["state"] == "running"),
            "speed": records.speed() if ready else None,
            "scores": records.distributions if ready else None,
            "fallen": records.fallen() if ready else None,
            "indexing": None if ready else {"done": indexed, "of": files},
            "versions": found.run.get("versions"),
        }


def _is_run(root: Store, name: str) -> bool:
    # a run with phases has them below; one that is only planned has a lease
    return root.kind(name) == "folder" and any(
        root.exists(f"{name}/{path}") for path in (RUN, lease.EPOCHS.path(1), lease.FIRST_VERSION.path(1))
    )


def _only_job(run_id: str, job: JobState) -> dict[str, Any]:
    state = {"waiting": "waiting", "running": "running"}.get(job.state, "failed")
    began = datetime.fromtimestamp(job.began).astimezone().isoformat() if job.began else None
    return {
        "id": run_id,
        "state": state,
        "why": job.why or "nothing is written yet",
        "job": job.job_id,
        "started_at": began,
    }
