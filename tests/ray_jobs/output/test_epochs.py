"""What an epoch accepts, removes, publishes and marks; takeover/ has the steps of two in every order."""

from __future__ import annotations

import json
from random import Random

import pytest

from ray_jobs.errors import DamagedOutput, LeaseLost
from ray_jobs.output import accept
from ray_jobs.output.checksums import to_checked
from ray_jobs.output.epochs import Epoch, Repairs, start_over
from ray_jobs.output.file_names import SUCCESS, epoch_of
from ray_jobs.storage.store import Store
from tests.ray_jobs.samples import check_parts, commit_part, new_epoch, plan_numbers, stage_part

TOTAL = 20


@pytest.fixture
def epoch(store: Store) -> Epoch:
    item = new_epoch(store)
    plan_numbers(item, TOTAL)
    return item


def test_the_next_epoch_accepts_what_the_last_one_left(epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 1, 2)
    commit_part(epoch, 3)
    stage_part(epoch, 4)
    following = new_epoch(store)
    assert following.accepted.index.rows == TOTAL
    check_parts(store, {1, 2, 3})
    assert following.clean() == Repairs(leftover_files=2)
    check_parts(store, {1, 2, 3})
    assert new_epoch(store).clean() == Repairs()


def test_what_comes_after_the_seal_does_not_count(epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 1)
    following = new_epoch(store)
    commit_part(epoch, 2)
    check_parts(store, {1})
    assert following.clean().leftover_files == 2
    check_parts(store, {1})
    with pytest.raises(LeaseLost):
        epoch.refresh()


def test_nothing_that_is_not_ours_is_removed(epoch: Epoch, store: Store) -> None:
    theirs = {
        "data/raw/survey.parquet": b"x",
        "data/notes.parquet": b"x",
        "data/000001-0123456789ab-0123456789abcdef01234567.csv": b"x",
        "rejected/mine.txt": b"x",
        "plan/a/mine.parquet": b"x",
        "README.old": b"x",
        "staging/mine": b"x",
    }
    for path, data in theirs.items():
        store.write_bytes(path, data)
    stage_part(epoch, 4)
    following = new_epoch(store)
    following.clean()
    following.finish()
    there = dict(store.list())
    assert theirs.keys() <= there.keys()


@pytest.mark.parametrize("gone", [0, 1])
def test_a_part_whose_file_is_gone_is_dropped(gone: int, epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 1)
    entry = commit_part(epoch, 2, 3)
    store.delete([entry.files[gone].path])
    following = new_epoch(store)
    assert following.clean() == Repairs(lost_parts=1)
    assert following.accepted.manifest.done(TOTAL).nonzero()[0].tolist() == [1]
    check_parts(store, {1})


def test_a_plan_file_that_is_gone_is_told(epoch: Epoch, store: Store) -> None:
    path = epoch.accepted.index.files[0].path
    store.delete([path])
    with pytest.raises(DamagedOutput, match=f"{path}: this file of the plan is gone, with rows 0 to 19"):
        new_epoch(store).clean()


def test_a_row_in_two_parts_counts_in_one(epoch: Epoch, store: Store) -> None:
    for rows in ((1, 2, 3), (3, 4), (3,)):
        commit_part(epoch, *rows)
    for found in (epoch.refresh(), new_epoch(store).accepted):
        assert sorted(row for entry in found.parts for row in entry.rows.tolist()) == [1, 2, 3, 4]
        assert found.manifest.outcome_counts().rows == 4
        assert found.manifest.outcome_counts().by_status() == {"kept": 4, "rejected": 4}
    check_parts(store, {1, 2, 3, 4})


def test_a_part_that_shares_rows_and_is_gone_is_dropped_and_its_rows_are_not_done(epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 1, 2, 3)
    lost = [commit_part(epoch, *rows) for rows in ((3, 4), (4, 5))]
    store.delete([part.path for entry in lost for part in entry.files])
    new_epoch(store).clean()
    done = {row for entry in accept.load(store).parts for row in entry.rows.tolist()}
    # row 3 was that of the part whose name comes first
    assert {1, 2} <= done <= {1, 2, 3}
    check_parts(store, done)


def test_a_part_that_shares_rows_and_is_damaged_is_told(epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 1, 2, 3)
    commit_part(epoch, 3, 4)
    for entry in epoch.refresh().parts:
        for part in entry.files:
            store.write_bytes(part.path, b"other")
    with pytest.raises(DamagedOutput, match="is not what was written"):
        new_epoch(store)


def test_rows_of_another_plan_are_told(epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 30)
    with pytest.raises(DamagedOutput, match="holds row 30, the plan has 20 rows"):
        accept.load(store)


def test_a_file_is_published_while_the_output_is_held(epoch: Epoch, store: Store) -> None:
    epoch.publish("report.json", b"one")
    epoch.publish("report.json", b"two")
    assert store.read_bytes("report.json") == b"two"
    new_epoch(store)
    with pytest.raises(LeaseLost):
        epoch.publish("report.json", b"three")
    assert store.read_bytes("report.json") == b"two"


def test_the_mark_says_which_files_it_stands_for(epoch: Epoch, store: Store) -> None:
    epoch.finish()
    assert json.loads(store.read_bytes(SUCCESS)) == {"epoch": 1, "files": {}}
    new_epoch(store).unmark()
    assert not store.exists(SUCCESS)


def test_starting_over_ends_what_was_there_and_numbers_go_on(epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 1)
    start_over(store)
    assert accept.load(store).plan is None
    with pytest.raises(LeaseLost):
        epoch.look()
    following = new_epoch(store)
    assert following.lease.number == 3
    assert following.clean().leftover_files == 3
    assert [path for path, _ in store.list("staging")] == []


@pytest.mark.parametrize("what", ["seal", "entry"])
def test_a_flipped_bit_is_told(what: str, epoch: Epoch, store: Store) -> None:
    commit_part(epoch, 1)
    path = "epochs/000001.seal" if what == "seal" else store.list("entries")[0][0]
    data = bytearray(store.read_bytes(path))
    data[Random(0).randrange(len(data))] ^= 4
    store.write_bytes(path, bytes(data))
    with pytest.raises(DamagedOutput, match=f"{path}: is not what was written"):
        accept.load(store)


@pytest.mark.parametrize("content", [[], {}, {"token": "x", "plan": None, "parts": 3, "settings": None}])
def test_what_is_no_seal_is_told(content: object, store: Store) -> None:
    store.write_bytes("epochs/000001.seal", to_checked(content))
    with pytest.raises(DamagedOutput, match=r"epochs/000001\.seal: expected a seal"):
        accept.load(store)


TAG, NAME = "000012-0123456789ab", "0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("path", "epoch"),
    [
        (f"data/{TAG}-{NAME}.parquet", 12),
        (f"data/.{TAG}-{NAME}.parquet.{'0' * 32}.tmp", 12),
        (f"rejected/{NAME}.parquet", 0),
        (f"staging/{TAG}/{NAME}.data", 12),
        (f"entries/{TAG}/part-{NAME}.json", 12),
        (f"manifest/{NAME}.json", 0),
        (f"plan/a/{TAG}-000000000000-12.parquet", 12),
        ("plan/a/000000000000-12.parquet", 0),
        (f"data/sub/{TAG}-{NAME}.parquet", None),
        (f"data/{TAG}-{NAME}.parquet.bak", None),
        ("data/part-0.parquet", None),
        ("plan/index.json", None),
        ("report.json", None),
        ("analyses/top1/data/00000.parquet", None),
    ],
)
def test_names_tell_whose_files_are(path: str, epoch: int | None) -> None:
    assert epoch_of(path) == epoch
