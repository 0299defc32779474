"""Why a run ended before it was finished, as `status` tells it, and how long its pools took to be ready."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs.output.run_files import Session, last_end, load_sessions, note_end, pools, ready_last_time
from ray_jobs.storage.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "out"))


def save(store: Store, number: int, execution: int = 1, **ready: float) -> None:
    stats = {name: {"rows": 1, "seconds": 2.0, "prompt_tokens": 0, "completion_tokens": 0} for name in ("a", "b")}
    for name, seconds in ready.items():
        stats[name]["ready_after"] = seconds
    Session(number, "2026-01-01T00:00:00+00:00", 60.0, 1, stats).save(store, execution)


def test_the_last_end_is_told_with_its_time(store: Store) -> None:
    assert last_end(store) is None
    note_end(store, 3, "pool respond: no engine")
    save(store, 3)
    assert (last_end(store) or "").startswith("pool respond: no engine (20")


def test_a_later_run_that_said_nothing_was_killed(store: Store) -> None:
    note_end(store, 3, "pool respond: no engine")
    save(store, 12, 2)
    assert last_end(store) is None


def test_ends_are_no_sessions(store: Store) -> None:
    save(store, 1)
    note_end(store, 1, "stopped")
    assert [session.number for session in load_sessions(store)] == [1]


def test_a_pool_is_ready_as_long_after_the_start_as_last_time(store: Store) -> None:
    save(store, 1, a=40.0, b=7.0)
    save(store, 2, a=12.5)
    sessions = load_sessions(store)
    assert ready_last_time(sessions) == {"a": 12.5, "b": 7.0}
    assert "ready_after" not in pools(sessions)["a"]
