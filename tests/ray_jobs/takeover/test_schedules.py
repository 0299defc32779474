"""Two drivers on one output, in every order of suspension, kill and late request up to a depth: nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from ray_jobs.errors import LeaseHeld, LeaseLost, SeedsChanged
from ray_jobs.jobs.synthesis import SynthesisJob
from tests.ray_jobs.takeover.stepped import Driver, Files, in_a_store, on_a_disk
from tests.ray_jobs.takeover.work import check, check_end, driver, job, plain_rows, retrier

FEW, MANY = 2, 3
"""The seeds that the first driver is asked for, and all others."""
FATES = ("sleeps", "is killed", "is killed, its request arrives late")
"""What becomes of the first driver."""
Jobs = tuple[SynthesisJob, SynthesisJob]

pytestmark = pytest.mark.slow

Place = Callable[[], Files]


@pytest.fixture(params=[in_a_store, on_a_disk])
def place(request: pytest.FixtureRequest) -> Place:
    """Where the output lies: an object store or a disk, which publish differently."""
    made: Place = request.param
    return made


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    folder = tmp_path_factory.mktemp("jobs")
    return job(folder / "few", FEW), job(folder / "many", MANY)


def thinned(every: int) -> pytest.MarkDecorator:
    """Gives a test `every`: it looks at one step in so many, and each step is in another of its cases; at length, 1."""
    return pytest.mark.parametrize("every", [every, pytest.param(1, marks=pytest.mark.chaos_long)])


def new_driver(name: str, files: Files, of: SynthesisJob) -> Driver:
    """A driver after each of whose requests everything is looked at."""
    item = Driver(name, files, driver(of))
    item.changed = lambda: check(files)
    return item


def length(jobs: Jobs, place: Place) -> int:
    """How many requests the first driver makes alone."""
    return new_driver("alone", place(), jobs[0]).begin().to_the_end().steps


def recover(files: Files, of: SynthesisJob) -> None:
    """What lies there is brought to its end by a driver that nobody disturbs."""
    assert new_driver("last", files, of).begin().to_the_end().error is None
    check_end(files, MANY)


def ended_well(item: Driver) -> None:
    # who begins after rows were planned of more seeds than it knows plans nothing
    assert item.error is None or isinstance(item.error, LeaseLost | LeaseHeld | SeedsChanged), item.error


def test_a_driver_alone_comes_to_its_end(jobs: Jobs, place: Place) -> None:
    files = place()
    first = new_driver("first", files, jobs[0]).begin().to_the_end()
    assert first.error is None
    check_end(files, FEW)
    again = new_driver("again", files, jobs[0]).begin().to_the_end()
    assert again.error is None
    assert not [name for name in again.log if name.startswith(("write plan", "write staging"))]
    recover(files, jobs[1])


@thinned(len(FATES))
@pytest.mark.parametrize("fate", FATES)
def test_another_takes_over_at_any_step(fate: str, every: int, jobs: Jobs, place: Place) -> None:
    for step in range(FATES.index(fate) % every, length(jobs, place), every):
        files = place()
        first = new_driver("first", files, jobs[0]).begin().advance(step)
        late = nothing if fate == "sleeps" else first.kill()
        second = new_driver("second", files, jobs[1]).begin().to_the_end()
        assert second.error is None, (step, second.error)
        check_end(files, MANY)
        if fate == "sleeps":
            ended_well(first.to_the_end())
        elif fate.endswith("late"):
            late()
        check(files)
        recover(files, jobs[1])


@thinned(2)
def test_an_answer_that_is_lost_at_any_step_costs_nothing(every: int, jobs: Jobs, place: Place) -> None:
    for step in range(place().renames % every, length(jobs, place), every):
        files = place()
        first = new_driver("first", files, jobs[0]).begin().advance(step)
        late = first.lose_answer()
        first.to_the_end()
        assert first.error is None, (step, first.error)
        check_end(files, FEW)
        second = new_driver("second", files, jobs[1]).begin().to_the_end()
        assert second.error is None
        if not is_copy(first, step):
            late()
        check(files)
        recover(files, jobs[1])


@thinned(4)
@pytest.mark.parametrize("fate", FATES[:2])
def test_another_takes_over_while_failed_rows_are_taken_out(fate: str, every: int, jobs: Jobs, place: Place) -> None:
    done = place()
    assert Driver("before", done, driver(jobs[0], fails=(1,))).begin().to_the_end().error is None
    alone = done.copied()
    steps = Driver("alone", alone, retrier(jobs[0])).begin().to_the_end().steps
    assert plain_rows(alone) == plain_rows(done)
    assert alone.keys() != done.keys()
    for step in range((2 * FATES.index(fate) + done.renames) % every, steps, every):
        files = done.copied()
        first = Driver("first", files, retrier(jobs[0])).begin()
        first.changed = lambda files=files: check(files)
        first.advance(step)
        if fate == "is killed":
            first.kill()
        second = new_driver("second", files, jobs[1]).begin().to_the_end()
        assert second.error is None, (step, second.error)
        check_end(files, MANY)
        if fate == "sleeps":
            ended_well(first.to_the_end())
        check(files)
        recover(files, jobs[1])


def is_copy(item: Driver, step: int) -> bool:
    """Whether a step publishes: a copy that lands after its successor's listing is not promised to do no harm."""
    return item.log[step].startswith("publish")


@thinned(8)
@pytest.mark.parametrize("fate", FATES)
def test_rows_are_retracted_by_a_driver_that_another_takes_over_from(
    fate: str, every: int, tmp_path: Path, jobs: Jobs, place: Place
) -> None:
    retracting = job(tmp_path / "retracting", FEW, gone="retract")
    finished = place()
    assert new_driver("all", finished, jobs[1]).begin().to_the_end().error is None
    steps = new_driver("alone", finished.copied(), retracting).begin().to_the_end().steps
    for step in range(FATES.index(fate) % every, steps, every):
        files = finished.copied()
        first = new_driver("first", files, retracting).begin().advance(step)
        late = nothing if fate == "sleeps" else first.kill()
        second = new_driver("second", files, retracting).begin().to_the_end()
        assert second.error is None, (step, second.error)
        check_end(files, FEW)
        if fate == "sleeps":
            ended_well(first.to_the_end())
        elif fate.endswith("late"):
            late()
        recover(files, jobs[1])


def nothing() -> None:
    """A request that was never made."""


def two(jobs: Jobs, place: Place, step: int, other: int, fate: str) -> None:
    """The first rests after `step` requests, the second after `other`; then the first goes on, then the second."""
    files = place()
    first = new_driver("first", files, jobs[0]).begin().advance(step)
    second = new_driver("second", files, jobs[1]).begin().advance(other)
    late = second.kill() if fate == "killed" else nothing
    ended_well(first.to_the_end())
    check(files)
    if fate == "sleeps":
        ended_well(second.to_the_end())
    third = new_driver("third", files, jobs[1]).begin().to_the_end()
    ended_well(third)
    late()
    check(files)
    recover(files, jobs[1])


def test_both_rest_at_any_two_steps(jobs: Jobs, place: Place) -> None:
    steps, random = length(jobs, place), Random(0)
    for _ in range(30):
        two(jobs, place, random.randrange(steps), random.randrange(2 * steps), random.choice(["sleeps", "killed"]))


@pytest.mark.chaos_long
@pytest.mark.timeout(3600)
def test_both_rest_at_every_two_steps(jobs: Jobs, place: Place) -> None:
    for step in range(length(jobs, place)):
        for other in range(2 * length(jobs, place)):
            for fate in ("sleeps", "killed"):
                two(jobs, place, step, other, fate)
