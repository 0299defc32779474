"""Working an output off without engines: what plain readers see when a run ends before its work does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ray_jobs.cli.status import describe, status
from ray_jobs.cli.status_json import status_document
from ray_jobs.errors import ClusterError, JobError, NothingUseful, PoolError, SeedError, Stopped, StorageError
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.epochs import Epoch, begin
from ray_jobs.output.file_names import REPORT, SUCCESS
from ray_jobs.output.lease import take
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.run_files import Session
from ray_jobs.runner.drive import Drive, Execute
from tests.ray_jobs.samples import commit_part, commit_rows, finished, kept_round, rejected_round
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


def committing(epoch: Epoch, *rounds: RoundRow, rows: int = 1) -> Execute:
    """Commits so many rows with these rounds."""

    def execute(*_: object) -> None:
        commit_rows(epoch, finished({row: [*rounds] for row in range(rows)}))

    return execute


def test_a_run_that_keeps_nothing_has_a_report_and_no_mark_however_often_it_is_begun(tmp_path: Path) -> None:
    store = MemoryStore(in_a_store())
    failed = {**rejected_round(1, 0, "PromptRefused"), "status": "failed", "error": "400: no"}
    for _ in range(2):
        epoch = begin(store, take(store))
        with pytest.raises(NothingUseful, match=r"nothing was kept of 4 .* 4 failed: PromptRefused: 400: no") as raised:
            drive(job(tmp_path, 2), epoch, committing(epoch, failed, {**failed, "round": 2}, rows=2))
        assert raised.value.exit_code == 6
        assert raised.value.report["reason_examples"] == {"failed: PromptRefused": "400: no"}
        assert REPORT in store.files
        assert SUCCESS not in store.files
    assert "nothing was kept" in describe(replace(status(store), holder=None))


def test_replies_from_the_journal_are_told_apart_from_those_that_were_paid_for(tmp_path: Path) -> None:
    store = MemoryStore(in_a_store())
    epoch = begin(store, take(store))
    drive(job(tmp_path, 1), epoch, committing(epoch, kept_round(1), kept_round(2, 1)))
    figures = {"seconds": 1.0, "rows": 1, "actor_starts": 1, "prompt_tokens": 5, "completion_tokens": 5}
    for number in (1, 2):
        pools = {"evolve_a": {**figures, "replies_given_again": number}}
        Session(number, "2026-01-01T00:00:00+00:00", 1.0, 1, pools).save(store)
    assert "3 replies from the journal" in describe(status(store))
    assert status_document(store)["phases"][""]["replies_given_again"] == 3


def test_a_run_none_of_whose_records_has_a_score_is_told(tmp_path: Path) -> None:
    store = MemoryStore(in_a_store())
    epoch = begin(store, take(store))
    bare = {"ifd": None, "ic_ifd": None, "score_note": "empty response"}
    with pytest.raises(NothingUseful, match=r"none of the 2 kept records has a score.*empty response"):
        drive(job(tmp_path, 1), epoch, committing(epoch, kept_round(1, **bare), kept_round(2, 1, **bare)))
    assert SUCCESS not in store.files


def test_a_report_tells_what_share_of_the_answers_was_cut(tmp_path: Path) -> None:
    store = MemoryStore(in_a_store())
    epoch = begin(store, take(store))
    rounds = [kept_round(1, respond_finish_reason="length"), kept_round(2, 1, respond_finish_reason="stop")]
    drive(job(tmp_path, 1), epoch, committing(epoch, *rounds))
    report = json.loads(store.files[REPORT])
    assert report["cut_share"] == 0.5
    assert [group["cut_share"] for group in report["groups"]] == [1, 0]
    assert "50.0% of the kept responses" in store.files["README.md"].decode()
    assert "50.0% of the kept responses" in describe(status(store))
