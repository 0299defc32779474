"""The trackers' own libraries, each without a network, where they are installed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.ray_jobs.runner.test_tracking import Clock, snapshot, tracked
from tests.ray_jobs.samples import run_config

RECORDS = "evolve_records/a/kept"


def track(place: Path, **settings: Any) -> None:
    """Tell a tracker of a run of two moments."""
    said: list[str] = []
    config = run_config(place, trackers=[settings])
    clock = Clock()
    with tracked(config.trackers, said, clock, finish_seconds=120) as run:
        for done in (1, 4):
            run.observe(snapshot(done, starts=1, ready=1))
            clock.seconds += 10
    assert said == []


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="mlflow-skinny has no database of its own")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/here.db"
    track(tmp_path, kind="mlflow", uri=uri)
    client = tracking.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("slm-evolve").experiment_id])
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.params == {"strategy.rounds": "2"}
    assert [metric.value for metric in client.get_metric_history(run.info.run_id, RECORDS)] == [1, 4, 4]


def test_wandb(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    track(tmp_path, kind="wandb", mode="offline", folder=str(tmp_path))
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert RECORDS.encode() in log.read_bytes()


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    track(tmp_path, kind="trackio")
    (file,) = tmp_path.glob("slm-evolve*.db")
    with sqlite3.connect(file) as database:
        logged = [row[0] for row in database.execute("select metrics from metrics order by step")]
    assert len(logged) == 4
    assert RECORDS in str(logged[0])
