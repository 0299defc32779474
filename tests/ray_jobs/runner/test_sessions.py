"""A run's session, as it is written down while the run lasts, and the cause that a worker left."""

from __future__ import annotations

from pathlib import Path

from ray.exceptions import ActorDiedError

from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.lease import take
from ray_jobs.output.run_files import load_sessions
from ray_jobs.pipeline.monitor import PoolState, Snapshot, WorkerStats
from ray_jobs.runner.ray_errors import pool_error
from ray_jobs.runner.sessions import SAVE_SECONDS, SessionLog
from ray_jobs.storage.store import open_store


def snapshot(rows: int, cause: str = "") -> Snapshot:
    stats = WorkerStats(done=rows, held_seconds=3600, gpu_seconds=7200)
    return Snapshot({"evolve_a": PoolState(stats, cause=cause)}, OutcomeCounts(rows=rows), parts=1)


def test_a_session_is_written_down_every_half_minute_and_at_its_end(tmp_path: Path) -> None:
    store, seconds = open_store(str(tmp_path)), [0.0]
    log = SessionLog(take(store), 1, clock=lambda: seconds[0])
    log.observe(snapshot(1))
    assert load_sessions(store) == []
    seconds[0] += SAVE_SECONDS + 1
    log.observe(snapshot(2))
    log.observe(snapshot(3))
    (session,) = load_sessions(store)
    assert (session.committed_rows, session.pools["evolve_a"]["gpu_hours"]) == (2, 2)
    log.save()
    (session,) = load_sessions(store)
    assert session.committed_rows == 3


def test_a_session_without_a_state_is_none(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    SessionLog(take(store), 1).save()
    assert load_sessions(store) == []


def test_why_a_pool_could_not_work_is_what_its_last_worker_said() -> None:
    told = pool_error(ActorDiedError(), snapshot(0, cause="its model cannot be loaded: OSError: no such file"))
    assert "pool evolve_a: its model cannot be loaded" in str(told)
    assert "evolve_a" not in str(pool_error(ActorDiedError(), snapshot(0)))
    assert "evolve_a" not in str(pool_error(ActorDiedError(), None))
