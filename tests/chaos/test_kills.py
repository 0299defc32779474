"""Processes and nodes vanish at random moments; the finished dataset is that of an undisturbed run."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.chaos.conftest import MakeJob
from tests.chaos.jobs import LONGEST, Job, Place, Records
from tests.chaos.nodes import Nodes, until

pytestmark = pytest.mark.timeout(1800)

INTERVAL = 0.25
"""Seconds between two writes of an actor's journal."""
VICTIMS = ("evolve_small", "evolve_large", "respond", "score", "MonitorActor")


def kill_driver(job: Job, random: Random) -> bool:
    """Start the run and SIGKILL it at a random moment: while it starts, or while engines work."""
    if random.random() < 0.25:
        command = job.start()
        time.sleep(random.uniform(0.2, 6))
    else:
        command = job.start_working()
        time.sleep(random.uniform(0, 3))
    return command.kill()


def test_driver_killed(s3_place: Place, make_job: MakeJob, undisturbed: Records) -> None:
    job, random = make_job(s3_place), Random(3)
    # one while it starts, one while engines work
    assert sum(kill_driver(job, random) for _ in range(2)) == 2
    job.finish()
    job.verify()
    assert job.records() == undisturbed


def test_a_kill_costs_the_requests_in_flight(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(Place(str(tmp_path / "out")), seeds=60, strategy__rounds=4, limits__journal=INTERVAL)
    slow = {"slots": 16, "decode_rate": 60, "sigma": 0}
    for evolver in job.config["evolvers"].values():
        evolver["engine"] |= slow
    job.config["responder"]["engine"] |= slow
    # a third of all calls of evolvers
    command = job.start_working()
    until(lambda: job.calls > 180, LONGEST, "a row in its later rounds")
    assert command.kill()
    before = job.calls
    text = job.finish()
    repeats = job.calls - len(job.prompts())
    per_second = 3 * slow["slots"] * slow["decode_rate"] / 40
    # a look at the count may come late
    assert repeats <= 3 * slow["slots"] + 2 * INTERVAL * per_second
    assert before - repeats > 50, text
    job.verify()
    assert not [path for path, _ in job.store.list("replies")]


@pytest.mark.chaos_long
def test_actors_killed(place: Place, cluster: Nodes, make_job: MakeJob, undisturbed: Records) -> None:
    job, random = make_job(place), Random(4)
    command = job.start_working()
    for title in random.sample(VICTIMS, len(VICTIMS)):
        cluster.kill(title)
        time.sleep(random.uniform(0, 1))
    assert command.wait(LONGEST) == 0, command.text
    job.verify()
    assert job.records() == undisturbed


@pytest.mark.chaos_long
def test_node_lost_and_another_added(s3_place: Place, cluster: Nodes, make_job: MakeJob, undisturbed: Records) -> None:
    job = make_job(s3_place)
    command = job.start_working()
    cluster.lose()
    cluster.add()
    assert command.wait(LONGEST) == 0, command.text
    job.verify()
    assert job.records() == undisturbed
