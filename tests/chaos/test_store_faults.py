"""The object store fails, goes away, or loses the worker that is writing to it at the worst moments."""

from __future__ import annotations

import time

import pytest

from tests.chaos.conftest import MakeJob
from tests.chaos.jobs import LONGEST, Command, Job, Place, Records
from tests.chaos.nodes import STARTUP, Nodes, until
from tests.ray_jobs.fault_proxy import FaultProxy, Hold

pytestmark = pytest.mark.timeout(1800)


def kill_writer_at(hold: Hold, command: Command, cluster: Nodes, proxy: FaultProxy) -> None:
    """Hold a request of a write task and SIGKILL the task's process meanwhile; the request is then dropped."""
    proxy.hold = hold
    until(lambda: hold.taken.is_set() or command.is_over, STARTUP, f"a request that matches {hold.pattern}")
    assert hold.taken.is_set(), command.text
    assert cluster.kill_all("ray::Write")
    hold.dropped.set()


@pytest.mark.chaos_long
def test_writer_killed_around_its_commit(
    behind_proxy: Place, proxy: FaultProxy, cluster: Nodes, make_job: MakeJob, undisturbed: Records
) -> None:
    job = make_job(behind_proxy)
    command = job.start_working()
    half_written, uncommitted, committed_unheard = (
        Hold("*/staging/*.data"),
        Hold("*/entries/*/part-*"),
        Hold("*/entries/*/part-*", forward=True),
    )
    for hold in (half_written, uncommitted, committed_unheard):
        kill_writer_at(hold, command, cluster, proxy)
    assert command.wait(LONGEST) == 0, command.text
    job.verify()
    assert job.records() == undisturbed


@pytest.mark.chaos_long
def test_store_fails_one_request_in_five(
    behind_proxy: Place, proxy: FaultProxy, make_job: MakeJob, undisturbed: Records
) -> None:
    job = make_job(behind_proxy)
    proxy.failing = 0.2
    job.finish()
    assert proxy.failed > 20
    proxy.failing = 0.0
    job.verify()
    assert job.records() == undisturbed


@pytest.mark.chaos_long
def test_store_stops_for_a_while(
    behind_proxy: Place, proxy: FaultProxy, make_job: MakeJob, undisturbed: Records
) -> None:
    job = make_job(behind_proxy)
    # longer than the client's own retries
    outage(job, proxy, 30)
    job.verify()
    assert job.records() == undisturbed


def outage(job: Job, proxy: FaultProxy, seconds: float) -> None:
    """The store stops while a run is at work, and comes back; the run ends well."""
    command = job.start_working()
    until(lambda: job.parts, STARTUP, "the first part")
    proxy.away = True
    time.sleep(seconds)
    assert not command.is_over, command.text
    proxy.away = False
    assert command.wait(LONGEST) == 0, command.text


@pytest.mark.chaos_long
def test_store_that_stays_away_ends_the_run(behind_proxy: Place, proxy: FaultProxy, make_job: MakeJob) -> None:
    job = make_job(behind_proxy, limits__storage_seconds=2)
    command = job.start_working()
    proxy.away = True
    assert command.wait(STARTUP) == 4, command.text
    assert "the store does not answer" in command.text
    assert "Traceback" not in command.text[command.text.index("\nerror: ") :]


@pytest.mark.chaos_long
@pytest.mark.parametrize("pattern", ["*/staging/*.data", "*/entries/*/part-*"])
def test_request_that_arrives_after_the_end(
    pattern: str, behind_proxy: Place, proxy: FaultProxy, make_job: MakeJob, undisturbed: Records
) -> None:
    """No store can refuse it; its epoch is over, so that it counts for nothing."""
    job = make_job(behind_proxy)
    command = job.start_working()
    proxy.hold = late = Hold(pattern, late=True)
    until(late.taken.is_set, STARTUP, "a write task")
    command.kill()
    job.finish()
    assert job.records() == undisturbed
    before = {path for path, _ in job.store.list()}
    late.dropped.set()
    until(late.forwarded.is_set, 30, "the late request")
    assert {path for path, _ in job.store.list()} > before
    for _ in range(2):
        job.verify()
        assert job.records() == undisturbed
        job.finish()
