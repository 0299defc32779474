"""Tasks and drivers that go on after another run has taken their output over: nothing is lost and nothing doubled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from ray_jobs.errors import LeaseLost
from ray_jobs.lease import Lease
from ray_jobs.manifest import Entry, commit, load
from ray_jobs.parts import take_back
from ray_jobs.reconcile import reconcile
from ray_jobs.storage import Store, open_store
from tests.ray_jobs.samples import add_part

TOTAL = 10


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "out"))


def add(store: Store, lease: int, *rows: int) -> Entry:
    """A committed part of the run with this lease."""
    entry = replace(add_part(store, *rows, commits=False), lease=lease)
    assert commit(store, entry)
    return entry


def rows_by_lease(store: Store) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for entry in load(store).entries:
        found.setdefault(entry.lease, set()).update(entry.rows.tolist())
    return found


def data_rows(store: Store) -> list[int]:
    table = ds.dataset("data", filesystem=store.arrow_filesystem(), format="parquet").to_table(["plan_row"])
    return sorted(table["plan_row"].to_pylist())


def test_a_late_part_is_taken_back_where_the_later_run_has_its_rows(store: Store) -> None:
    add(store, 2, 1, 2, 3)
    add(store, 2, 4)
    late = add(store, 1, 1, 4)
    take_back(store, late)
    assert rows_by_lease(store) == {2: {1, 2, 3, 4}}
    assert data_rows(store) == [1, 2, 3, 4]


@pytest.mark.parametrize("other", [1, 2])
def test_a_late_part_that_may_be_counted_stays(other: int, store: Store) -> None:
    add(store, other, 2, 3)
    take_back(store, add(store, 1, 1, 2) if other == 2 else add(store, 1, 2, 3, 4))
    assert set().union(*rows_by_lease(store).values()) >= {2, 3}
    assert 1 in rows_by_lease(store)


@pytest.mark.parametrize("late_rows", [(1, 2), (1, 2, 3, 4), (4, 5)])
def test_the_later_run_keeps_its_own_rows(late_rows: tuple[int, ...], store: Store) -> None:
    own = add(store, 2, 1, 2, 3)
    add(store, 1, *late_rows)
    reconcile(store, TOTAL, Lease(store, 0))
    assert rows_by_lease(store)[2] == {1, 2, 3}
    assert own.name in {entry.name for entry in load(store).entries}
    assert data_rows(store) == sorted({1, 2, 3} | set(late_rows))


def test_a_driver_that_lost_its_lease_removes_nothing(store: Store) -> None:
    add(store, 1, 1, 2)
    add(store, 2, 2, 3)
    add_part(store, 7, commits=False)
    before = store.list()
    store.write_bytes("lease/000002.json", b"{}")
    with pytest.raises(LeaseLost):
        reconcile(store, TOTAL, Lease(store, 1))
    assert [one for one in store.list() if not one[0].startswith("lease")] == before
