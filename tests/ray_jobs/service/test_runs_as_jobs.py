"""A run over HTTP as a job of a real Ray head: started, stopped, and resumed by a service that began anew."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ray_jobs.service.jobs import RayJobs
from ray_jobs.service.state import ServiceState
from tests.ray_jobs.ray_head import RayHead
from tests.ray_jobs.service.served import application

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 150.0


def until(client: TestClient, state: str, rows: int = 0) -> None:
    """Wait until the run is so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        run = client.get("/v1/runs/http").json()
        if run["state"] == state and run.get("rows", {"done": 0})["done"] >= rows:
            return
        assert time.monotonic() < deadline, run
        time.sleep(0.3)


def test_a_run_is_started_stopped_and_resumed_over_http(
    head: RayHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", head.token)
    (tmp_path / "runs").mkdir()
    slow = {"kind": "scripted", "decode_rate": 40}
    settings = {
        "evolvers": {"a": {"engine": slow, "pool": {"batch_rows": 4, "batches_in_flight": 1}}},
        "responder": {"kind": "evolver"},
        "scorer": {"kind": "scripted"},
    }
    state = ServiceState((str(tmp_path / "runs"),), settings, jobs=RayJobs(head.address, ROOT))
    seeds = [{"instruction": f"Explain step {number}."} for number in range(24)]
    with TestClient(application(state)) as client:
        assert client.post("/v1/runs", json={"id": "http", "seeds": seeds}).status_code == 201
        until(client, "running", rows=1)
        assert client.post("/v1/runs/http/stop").json()["stopping"]
        until(client, "stopped", rows=1)
    with TestClient(application(state)) as client:
        run = client.get("/v1/runs/http").json()
        assert 0 < run["rows"]["done"] < run["rows"]["planned"] == 24
        assert client.post("/v1/runs/http/resume").status_code == 200
        until(client, "finished", rows=24)
        assert client.post("/v1/runs/http/verify").json()["problems"] == []
