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
SLOW = {"slots": 16, "decode_rate": 60, "sigma": 0}
PER_SECOND = 3 * SLOW["slots"] * SLOW["decode_rate"] / 40
"""Requests that three such engines answer in a second."""
AT_RISK = 3 * SLOW["slots"] + 2 * INTERVAL * PER_SECOND
"""What a kill may cost: the requests in flight and those of the last interval, which may be written late."""
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
    job = slow_job(make_job, tmp_path, seeds=60)
    # a third of all calls of evolvers
    command = job.start_working()
    until(lambda: job.calls > 180, LONGEST, "a row in its later rounds")
    assert command.kill()
    before = job.calls
    text = job.finish()
    repeats = job.calls - len(job.prompts())
    assert repeats <= AT_RISK
    assert before - repeats > 50, text
    job.verify()
    assert not [path for path, _ in job.store.list("replies")]


@pytest.mark.chaos_long
def test_no_kill_of_twenty_costs_more(cluster: Nodes, make_job: MakeJob, tmp_path: Path) -> None:
    job, random = slow_job(make_job, tmp_path, seeds=300), Random(11)
    command = job.start_working()
    for kills in range(1, 21):
        time.sleep(random.uniform(1, 4))
        assert not command.is_over, command.text
        victim = random.choice(("driver", "node", *VICTIMS))
        if victim == "driver":
            command.kill()
            command = job.start_working()
        elif victim == "node":
            cluster.add()
            cluster.lose()
        else:
            cluster.kill_any(victim)
        assert job.calls - len(job.prompts()) <= kills * AT_RISK, f"after {kills} kills, the last of {victim}"
    assert command.wait(LONGEST) == 0, command.text
    assert job.calls - len(job.prompts()) <= 20 * AT_RISK
    job.verify()
    assert job.rows() == 600


def slow_job(make_job: MakeJob, folder: Path, seeds: int) -> Job:
    """Four rounds on engines that answer slowly, with a journal that is written often."""
    job = make_job(Place(str(folder / "out")), seeds=seeds, strategy__rounds=4, limits__journal=INTERVAL)
    for evolver in job.config["evolvers"].values():
        evolver["engine"] |= SLOW
    job.config["responder"]["engine"] |= SLOW
    return job


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
