"""Runs over HTTP as jobs of a real Ray head: nothing is lost when the service is killed while one is under way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ray_jobs.service.jobs import entry_point
from ray_jobs.service.submit import PACKED_CONFIG
from tests.ray_jobs.ray_head import RayHead

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 150.0
SEEDS = 40
"""So many that a machine which is slow to pass the stop on still has some to do."""
SETTINGS = {
    "evolvers": {
        "a": {
            "engine": {"kind": "scripted", "testing": {"decode_rate": 30}},
            "pool": {"batch_rows": 4, "batches_in_flight": 1},
        }
    },
    "responder": {"kind": "evolver"},
    "scorer": {"kind": "scripted"},
}


@contextmanager
def service(head: RayHead, root: Path) -> Iterator[str]:
    """The service in a process of its own, which is killed; the address of its runs."""
    program = str(Path(__file__).with_name("serve_bare.py"))
    command = [sys.executable, program, str(root), head.address, str(ROOT), json.dumps(SETTINGS)]
    environment = {**head.environment(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield f"{process.stdout.readline().strip()}/v1/runs"
        finally:
            process.kill()


def until(runs: str, state: str, rows: int = 0) -> dict[str, Any]:
    """Wait until the run is so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        run: dict[str, Any] = requests.get(f"{runs}/http", timeout=30).json()
        if run["state"] == state and run.get("rows", {"done": 0})["done"] >= rows:
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.3)


@pytest.mark.ray
def test_a_run_outlives_the_service_and_is_stopped_and_resumed_by_another(head: RayHead, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    seeds = [{"instruction": f"Explain step {number}."} for number in range(SEEDS)]
    with service(head, root) as runs:
        begun = requests.post(runs, json={"id": "http", "seeds": seeds}, timeout=60)
        assert begun.status_code == 201, begun.text
        until(runs, "running", rows=1)
    with service(head, root) as runs:
        assert until(runs, "running", rows=1)["job"] == begun.json()["job"]
        assert requests.post(f"{runs}/http/stop", timeout=60).json()["stopping"]
        run = until(runs, "stopped", rows=1)
        assert run["rows"]["done"] < run["rows"]["planned"] == SEEDS
        assert requests.post(f"{runs}/http/resume", timeout=60).status_code == 200
        until(runs, "finished", rows=SEEDS)
        assert requests.post(f"{runs}/http/verify", timeout=60).json()["problems"] == []


def test_a_run_joins_the_cluster_that_is_named_wherever_it_works(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    told = subprocess.run(
        entry_point(["--help"], folder, "127.0.0.1:6379").replace("exec ", "pwd && echo $RAY_ADDRESS && exec "),
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "RAY_ADDRESS": "192.0.2.1:1", "PYTHONPATH": str(ROOT)},
    )
    assert told.stdout.split("\n")[:2] == [str(folder), "127.0.0.1:6379"]
    assert 'run "$OLDPWD/' in entry_point(["run", PACKED_CONFIG], folder, None)
    assert entry_point(["run", PACKED_CONFIG], None, None).endswith(f"run {PACKED_CONFIG}")
