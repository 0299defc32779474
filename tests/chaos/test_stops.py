"""A run is asked to stop, meets another run on its output, or is taken for dead and comes back."""

from __future__ import annotations

import signal
import time

import pytest

from tests.chaos.conftest import MakeJob
from tests.chaos.jobs import Place, Records
from tests.chaos.nodes import STARTUP, Nodes, until

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.chaos_long
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.chaos_long)])
def test_asked_to_stop(number: signal.Signals, s3_place: Place, make_job: MakeJob, undisturbed: Records) -> None:
    job = make_job(s3_place)
    command = job.start()
    until(lambda: job.store.list("epochs"), STARTUP, "the lease")
    second = job.start()
    assert second.wait(STARTUP) == 5, second.text
    assert "is working on this output" in second.text
    until(lambda: job.calls, STARTUP, "the first call of an engine")
    asked_at = time.monotonic()
    command.send(number)
    assert command.wait(STARTUP) == 10, command.text
    assert time.monotonic() - asked_at < 90
    assert number.name in command.text
    assert job.parts > 0
    asked = job.calls
    job.finish()
    job.verify()
    assert job.records() == undisturbed
    # rows in flight at the stop were finished, so no prompt was asked twice
    assert job.calls > asked
    assert len(job.prompts()) == job.calls


@pytest.mark.chaos_long
def test_asked_twice(s3_place: Place, make_job: MakeJob, undisturbed: Records) -> None:
    job = make_job(s3_place)
    command = job.start_working()
    command.send(signal.SIGINT)
    time.sleep(0.5)
    command.send(signal.SIGINT)
    assert command.wait(10) == 130, command.text
    job.finish()
    job.verify()
    assert job.records() == undisturbed


@pytest.mark.chaos_long
def test_run_that_was_taken_for_dead(s3_place: Place, cluster: Nodes, make_job: MakeJob, undisturbed: Records) -> None:
    job = make_job(s3_place)
    first = job.start_working()
    until(lambda: job.parts, STARTUP, "the first part")
    first.send(signal.SIGSTOP)
    # a suspended driver gives no CPUs back
    cluster.add()
    job.finish()
    first.send(signal.SIGCONT)
    assert first.wait(STARTUP) == 5, first.text
    assert "another run has taken this output over" in first.text
    job.verify()
    assert job.records() == undisturbed
