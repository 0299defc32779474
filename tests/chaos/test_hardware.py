"""Actors of one pool on unlike hardware, and an engine larger than a machine, on a cluster of several nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from ray_jobs.output.run_files import load_sessions
from tests.chaos.jobs import Job, Place, settings
from tests.chaos.nodes import Nodes, nodes

pytestmark = pytest.mark.ray


@pytest.fixture
def cluster() -> Iterator[Nodes]:
    """Two machines of four CPUs: what is left of them beside the engine must do for reading."""
    with nodes(cpus=4) as running:
        yield running


def test_variants_and_an_engine_over_two_machines(cluster: Nodes, tmp_path: Path) -> None:
    config = settings(cluster, tmp_path, Place(str(tmp_path / "out")), seeds=60)
    config["responder"]["pool"] = {"cpus": 5, "nodes": 2, "batch_rows": 16, "price": 3}
    config["evolvers"]["small"]["pool"] = {
        "batch_rows": 16,
        "variants": [{"size": 1, "cpus": 0.1, "price": 1}, {"size": 1, "cpus": 0.2, "price": 5}],
    }
    job = Job(tmp_path, config)
    try:
        job.finish()
    finally:
        job.end()
    job.verify()
    assert job.rows() == 120
    (session,) = load_sessions(job.store)
    small, responder = session.pools["evolve_small"], session.pools["respond"]
    assert small["actor_starts"] == 2
    # one costs one an hour, the other five
    assert small["held_seconds"] < 3600 * small["cost"] < 5 * small["held_seconds"]
    assert responder["cost"] == pytest.approx(3 * responder["held_seconds"] / 3600, rel=0.01)
    ray.init(address=cluster.address, logging_level="ERROR")
    try:
        # nobody holds the machines any more
        assert {group["state"] for group in ray.util.placement_group_table().values()} <= {"REMOVED"}
    finally:
        ray.shutdown()
