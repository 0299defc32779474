"""AutoIF's driver is killed in every phase; the finished outputs are those of an undisturbed run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ray_jobs.output.plan_index import INDEX
from tests.chaos.jobs import STARTUP, Job
from tests.chaos.nodes import Nodes, until
from tests.ray_jobs.jobs.autoif.samples import autoif_config

pytestmark = [pytest.mark.chaos_long, pytest.mark.timeout(900)]

PHASES = ("augment", "instructions", "")
"""The folders of the phases, in order."""
COMPARED = ("record_id", "status", "reason", "instruction", "output", "trajectory")
SLOW = {"decode_rate": 80, "slots": 4}
"""Half a second a call, four at once: long enough to be killed in the middle of a phase."""


def make(folder: Path, cluster: Nodes, **engine: Any) -> Job:
    config = autoif_config(folder).model_dump(mode="json")
    config["ray"] = {"address": cluster.address}
    for model in (*config["evolvers"].values(), config["responder"], config["judge"]):
        model["engine"]["testing"] |= engine
        model["pool"]["cpus"] = 0.25
    return Job(folder, config)


def found(job: Job) -> list[set[tuple[str, ...]]]:
    """The records of each phase, as a plain reader sees them; none may stand there twice."""
    phases = []
    for phase in PHASES:
        folder = Path(job.config["output"]) / phase
        files = [*folder.glob("data/*.parquet"), *folder.glob("rejected/*.parquet")]
        records = [record for file in files for record in pq.read_table(file).to_pylist()]
        ids = {record["record_id"] for record in records}
        assert len(ids) == len(records)
        phases.append({tuple(str(record.get(name)) for name in COMPARED) for record in records})
    return phases


def kill_in(job: Job, phase: str) -> bool:
    """Run until the engines work on `phase`, then SIGKILL the driver; whether it was still at work."""
    command = job.start()
    index = f"{phase}/{INDEX}" if phase else INDEX
    until(lambda: command.is_over or job.store.exists(index), STARTUP, f"a plan of {phase or 'the responses'}")
    before = job.calls
    until(lambda: command.is_over or job.calls > before, STARTUP, f"a call in {phase or 'the responses'}")
    time.sleep(0.7)
    return command.kill()


def test_driver_killed_in_every_phase(cluster: Nodes, tmp_path: Path) -> None:
    calm = make(tmp_path / "calm", cluster)
    calm.finish()
    job = make(tmp_path / "killed", cluster, **SLOW)
    try:
        assert [kill_in(job, phase) for phase in PHASES] == [True] * 3
        text = job.finish()
    finally:
        job.end()
    job.verify()
    assert "2 contradiction" in text
    assert found(job) == found(calm)
