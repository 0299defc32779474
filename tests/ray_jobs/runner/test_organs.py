"""When a cluster counts as lost: made-up answers, a clock that is a number."""

from __future__ import annotations

from ray_jobs.runner.organs import Watcher

GCS, RAYLET = ("10.0.0.1", 6379), ("127.0.0.1", 7000)
ADDRESSES = {"control service": (GCS, 30.0), "raylet": (RAYLET, 0.0)}


def test_one_that_is_away_twice_is_gone_and_a_standing_cluster_has_its_patience() -> None:
    away: set[tuple[str, int]] = set()
    watcher = Watcher(ADDRESSES, lambda address: address not in away)
    assert watcher.gone(0) is None
    away.add(GCS)
    assert [watcher.gone(now) for now in (1, 2, 30.9)] == [None, None, None]
    away.clear()
    assert watcher.gone(31) is None
    away.add(GCS)
    assert [watcher.gone(now) for now in (32, 61.9, 62)] == [None, None, "control service"]
    away = {RAYLET}
    again = Watcher(ADDRESSES, lambda address: address not in away)
    assert [again.gone(now) for now in (70, 71)] == [None, "raylet"]
