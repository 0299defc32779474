"""Pools that cannot do their work end the run with a message that says which and why; nothing hangs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeJob
from tests.chaos.jobs import Command, Place
from tests.chaos.nodes import STARTUP

# tests/ray_jobs/cli/test_cli_runs.py shows the same on one node
pytestmark = [pytest.mark.chaos_long, pytest.mark.timeout(1800)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "out"))


def message(command: Command, seconds: float = STARTUP) -> str:
    """What the command says at its end, which must be exit code 6, without a traceback."""
    assert command.wait(seconds) == 6, command.text
    # Ray's own lines, which begin with the word raylet, may come before
    told = command.text[command.text.index("\nerror: ") + 1 :]
    assert len(told.splitlines()) <= 2, told
    return told


def test_resource_that_the_cluster_lacks(place: Place, make_job: MakeJob) -> None:
    job = make_job(place, seeds=20, limits__stall_seconds=10)
    job.config["responder"]["pool"] = {**job.config["responder"]["pool"], "resources": {"unobtainable": 1}}
    told = message(job.start())
    assert "pool respond" in told
    assert "1 unobtainable" in told


def test_engine_that_always_dies(place: Place, make_job: MakeJob) -> None:
    job = make_job(place, seeds=20, limits__engine_restarts=1)
    engine = job.config["evolvers"]["small"]["engine"]
    job.config["evolvers"]["small"]["engine"] = {**engine, "die_after": 3}
    told = message(job.start())
    assert "pool evolve_small" in told
    assert "the script ends this engine at call 3" in told


def test_engine_process_that_always_crashes(place: Place, make_job: MakeJob) -> None:
    job = make_job(place, seeds=20, limits__engine_restarts=2)
    engine = job.config["evolvers"]["small"]["engine"]
    job.config["evolvers"]["small"]["engine"] = {**engine, "die_after": 3, "exit_code": 139}
    assert "pool evolve_small" in message(job.start())


def test_model_that_does_not_load(place: Place, make_job: MakeJob, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "no-such-architecture"}))
    job = make_job(place, seeds=20, limits__engine_restarts=1)
    job.config["scorer"] = {"kind": "model", "model": str(model), "pool": job.config["scorer"]["pool"]}
    told = message(job.start())
    assert "pool score" in told
    assert "no-such-architecture" in told
