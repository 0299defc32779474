"""The long version, `make chaos`: 5,000 rows, twenty kills, half a minute without a store."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.chaos.conftest import MakeJob
from tests.chaos.jobs import Job, Place, Records, settings
from tests.chaos.nodes import Nodes
from tests.chaos.test_kills import VICTIMS, kill_driver
from tests.chaos.test_store_faults import outage
from tests.ray_jobs.fault_proxy import FaultProxy

pytestmark = [pytest.mark.chaos_long, pytest.mark.timeout(3600)]
SEEDS = 2500
KILLS = 20


@pytest.fixture(scope="module")
def undisturbed(cluster: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder = tmp_path_factory.mktemp("undisturbed")
    job = Job(folder, settings(cluster, folder, Place(str(folder / "out")), SEEDS))
    job.finish(1200)
    job.verify()
    assert job.rows() == 2 * SEEDS
    return job.records()


def check(job: Job, undisturbed: Records) -> None:
    job.verify()
    assert job.rows() == 2 * SEEDS
    assert job.records() == undisturbed


@pytest.mark.parametrize("seed", [1, 2])
def test_driver_killed_twenty_times(seed: int, place: Place, make_job: MakeJob, undisturbed: Records) -> None:
    job, random = make_job(place, SEEDS), Random(seed)
    assert sum(kill_driver(job, random) for _ in range(KILLS)) == KILLS
    job.finish(1200)
    check(job, undisturbed)


def test_actors_and_writers_killed_all_along(
    place: Place, cluster: Nodes, make_job: MakeJob, undisturbed: Records
) -> None:
    job, random = make_job(place, SEEDS), Random(5)
    command = job.start_working()
    killed = 0
    while not command.is_over and killed < KILLS:
        time.sleep(random.uniform(0, 2))
        killed += cluster.kill_any(random.choice([*VICTIMS, "ray::Write"]))
    assert killed >= KILLS // 2
    assert command.wait(1200) == 0, command.text
    check(job, undisturbed)


def test_nodes_lost_and_added(s3_place: Place, cluster: Nodes, make_job: MakeJob, undisturbed: Records) -> None:
    job, random = make_job(s3_place, SEEDS), Random(6)
    command = job.start_working()
    for _ in range(3):
        cluster.add()
        time.sleep(random.uniform(0, 5))
        cluster.lose()
    assert command.wait(1200) == 0, command.text
    check(job, undisturbed)


def test_store_fails_and_stops(
    behind_proxy: Place, proxy: FaultProxy, make_job: MakeJob, undisturbed: Records, tmp_path: Path
) -> None:
    job = make_job(behind_proxy, SEEDS)
    proxy.failing = 0.2
    outage(job, proxy, 30)
    proxy.failing = 0.0
    check(job, undisturbed)
