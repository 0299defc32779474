"""Working an output off without engines: what plain readers see when a run ends before its work does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_jobs.errors import ClusterError, JobError, PoolError, SeedError, Stopped, StorageError
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.epochs import Epoch, begin
from ray_jobs.output.lease import take
from ray_jobs.runner.drive import Drive, Execute
from tests.ray_jobs.samples import commit_part
from tests.ray_jobs.takeover.stepped import Killed, MemoryStore, in_a_store
from tests.ray_jobs.takeover.work import job, plain_rows

PUBLISHED = Counter((folder, row) for folder in ("data", "rejected") for row in (0, 1))


def ends_with(error: BaseException) -> Callable[..., None]:
    def end(*_: object) -> None:
        raise error

    return end


def drive(of: SynthesisJob, epoch: Epoch, execute: Execute, may_go_on: Callable[[], None] = lambda: None) -> None:
    Drive(of, epoch, execute, lambda: None, may_go_on, lambda _: None).complete()


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """An output of four rows, two of which were committed and not published when the run was killed."""
    store = MemoryStore(in_a_store())
    epoch = begin(store, take(store))

    def execute(*_: object) -> None:
        commit_part(epoch, 0, 1)
        raise Killed

    with pytest.raises(Killed):
        drive(job(tmp_path, 4), epoch, execute)
    assert not plain_rows(store.files)
    return store


@pytest.mark.parametrize("error", [Stopped("stopped"), PoolError("stalled"), ClusterError("Ray is gone")])
def test_what_is_committed_is_published_whatever_ends_the_work(
    store: MemoryStore, tmp_path: Path, error: JobError
) -> None:
    with pytest.raises(type(error)):
        drive(job(tmp_path, 4), begin(store, take(store)), ends_with(error))
    assert plain_rows(store.files) == PUBLISHED


def test_it_is_published_where_planning_is_stopped(store: MemoryStore, tmp_path: Path) -> None:
    """More seeds have come since, and a signal while they are planned."""
    with pytest.raises(Stopped):
        drive(job(tmp_path, 6), begin(store, take(store)), ends_with(Killed()), ends_with(Stopped("stopped")))
    assert plain_rows(store.files) == PUBLISHED


def test_it_is_published_where_seeds_cannot_be_read(store: MemoryStore, tmp_path: Path) -> None:
    without = job(tmp_path, 4)
    (tmp_path / "seeds.jsonl").unlink()
    with pytest.raises(SeedError):
        drive(without, begin(store, take(store)), ends_with(Killed()))
    assert plain_rows(store.files) == PUBLISHED


def test_nothing_is_published_where_the_store_has_ended_the_work(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        drive(job(tmp_path, 4), begin(store, take(store)), ends_with(StorageError("away")))
    assert not plain_rows(store.files)
