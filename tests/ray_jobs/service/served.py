"""A bare application with the console's routes, over outputs written by the pipeline's own writer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from ray_jobs.output.epochs import add_part
from ray_jobs.output.file_names import RUN
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.run_files import Session
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from ray_jobs.service import gateway
from ray_jobs.service.jobs import JobState
from ray_jobs.service.routes import console, records
from ray_jobs.service.routes import runs as run_routes
from ray_jobs.service.runs import Runs
from ray_jobs.service.state import ServiceState
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import record
from tests.ray_jobs.samples import new_epoch
from tests.ray_jobs.service.warm import Warm

HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script> **bold** javascript:alert(1)"
)
SETTINGS = {
    "evolvers": {name: {"engine": {"kind": "scripted", "model": f"scripted-{name}"}} for name in ("small", "large")},
    "responder": {"kind": "evolver"},
    "seeds": {"path": "seeds.jsonl"},
    "output": "out",
}


BEGAN = datetime(2026, 11, 29, 3, tzinfo=UTC)


def make_run(place: Path, numbers: int = 90, finished: bool = True) -> None:
    """An output of `numbers` records, every fifth rejected, every eleventh failed; one holds hostile text.

    A record is made every four seconds. Of one that is not finished half of the rows are left, two of them retracted.
    """
    store = open_store(str(place))
    epoch = new_epoch(store)
    rows = -(-numbers // 3)
    plan = PlanIndex(rows=rows if finished else rows * 2, seeds=-(-numbers // 5))
    if not finished:
        plan.retract(np.array([2 * rows - 2, 2 * rows - 1]))
    epoch.add_plan(plan, 0)
    half = rows // 2
    for low, high in ((0, half), (half, rows)):
        made = [
            record(
                number,
                prompt_tokens=100 + number,
                completion_tokens=50,
                created_at=BEGAN + timedelta(seconds=4 * number),
            )
            for number in range(low * 3, min(high * 3, numbers))
        ]
        kept = [item for number, item in enumerate(made, low * 3) if number % 5 != 4 and number % 11 != 10]
        others = [
            _ended(item, number) for number, item in enumerate(made, low * 3) if number % 5 == 4 or number % 11 == 10
        ]
        if low == 0:
            kept[0] |= {"instruction": HOSTILE, "output": HOSTILE, "reasoning": HOSTILE, "reasoning_tokens": 12}
        records = pa.Table.from_pylist(kept, RECORD_SCHEMA)
        rejected = pa.Table.from_pylist(others, REJECTED_SCHEMA)
        entry = write_part(store, epoch.lease.tag, records, rejected, np.arange(low, high))
        assert add_part(store, epoch.lease, entry)
    configuration = {**SETTINGS, "strategy": {"kind": "evol_instruct", "rounds": 3}, "limits": {"budget": {}}}
    content = {
        "job": "run",
        "run_id": "0" * 16,
        "records_per_row": 3,
        "result_settings": {},
        "configuration": configuration,
        "versions": {},
    }
    store.write_bytes(RUN, json.dumps(content).encode())
    stats: dict[str, Any] = {
        "seconds": 60.0,
        "actor_starts": 1,
        "rows": rows,
        "prompt_tokens": 9000,
        "completion_tokens": 4500,
        "cost": 1.25,
    }
    now = {"loading": 1, "ready": 0, "in_flight": 0, "slots": 0, "cause": ""}
    pools = {"evolve_small": stats, "evolve_large": stats | {"now": now}}
    Session(1, BEGAN.isoformat(), 4.0 * numbers, rows, pools).save(store)
    if finished:
        epoch.refresh()
        store.write_bytes("_SUCCESS", b"")


def _ended(item: dict[str, Any], number: int) -> dict[str, Any]:
    if number % 11 == 10:
        return item | {"status": "failed", "stage": "respond", "reason": "ServerError", "error": "the server said 500"}
    return item | {"status": "rejected", "stage": "evolve", "reason": "refusal" if number % 2 else "truncated"}


class Recorder:
    """Jobs that are begun nowhere: what was asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.settings: Mapping[str, Any] = {}
        self.states: dict[str, JobState] = {}

    def start(self, run_id: str, settings: Mapping[str, Any]) -> str:
        self.asked.append(("start", run_id))
        self.settings = settings
        self.states[run_id] = JobState(f"job-{run_id}", "waiting", 1_795_000_000.0)
        return f"job-{run_id}"

    def retry_failed(self, run_id: str, output: str, settings: Mapping[str, Any]) -> str:
        self.asked.append(("retry-failed", run_id))
        self.settings = settings
        return "job"

    def stop(self, run_id: str) -> bool:
        self.asked.append(("stop", run_id))
        return run_id in self.states

    def latest(self) -> Mapping[str, JobState]:
        return self.states


def application(state: ServiceState) -> FastAPI:
    """The routes of runs, records and console, behind no guard."""
    app, runs = FastAPI(), Runs(state)
    app.include_router(run_routes.router(state, runs))
    app.include_router(records.router(runs))
    app.include_router(console.router())

    return app


def whole_application(root: Path, jobs: Recorder, cache: Path) -> ASGIApp:
    """All of the service over the runs below `root`, with scripted engines in this process and `warm.TOKEN`."""
    path = root / "_seeds.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"Explain step {number}."}) + "\n" for number in range(40)))
    warm = Warm({"roots": [str(root)]}, seeds={"path": str(path)}, strategy={"rounds": 2})
    state = ServiceState(
        (str(root),), warm.settings, jobs=jobs, config=warm.config, engines=warm.engines, cache=str(cache)
    )
    return gateway.application(state, lambda: warm.digests)


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The application on loopback; its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
