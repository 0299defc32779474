"""Small parts become large ones, and neither a kill nor another run at any step of it costs or doubles a row."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from ray_jobs.compact import Sizes, join_parts, small_parts
from ray_jobs.errors import DamagedOutput, LeaseLost, Stopped
from ray_jobs.lease import Lease
from ray_jobs.manifest import Entry, commit, load
from ray_jobs.parts import commit_held, write_part
from ray_jobs.reconcile import Repairs, reconcile
from ray_jobs.rows import RECORD_SCHEMA
from ray_jobs.storage import Store, open_store
from tests.ray_jobs.samples import add_part, check_parts, finished, kept_round, outcomes, rejected_round

TOTAL = 60
ROWS = set(range(12))


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the product catches it."""


class SteppingStore:
    """A store that calls `before` ahead of each single change to it."""

    def __init__(self, store: Store, before: Callable[[], None]) -> None:
        self._store, self._before = store, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write_bytes(self, path: str, data: bytes) -> None:
        self._before()
        self._store.write_bytes(path, data)

    def create_exclusive(self, path: str, data: bytes) -> bool:
        self._before()
        return self._store.create_exclusive(path, data)

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._before()
            self._store.delete([path])


def at_step(number: int, action: Callable[[], None]) -> Callable[[], None]:
    """Calls `action` the `number`th time that it is called, from 0."""
    steps = count()

    def before() -> None:
        if next(steps) == number:
            action()

    return before


def kill() -> None:
    raise Killed


def take_lease(store: Store, number: int) -> Lease:
    store.write_bytes(f"lease/{number:06d}.json", b"{}")
    return Lease(store, number)


def join(store: Any, lease: Lease) -> int:
    return join_parts(store, small_parts(load(store).entries), lease, lambda: None)


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return open_store(str(tmp_path / "out"))
    return open_store(f"{request.getfixturevalue('s3_url')}/run", request.getfixturevalue("s3_options"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with four committed parts of three rows each, under the first lease."""
    folder = tmp_path / "small"
    store = open_store(str(folder))
    take_lease(store, 1)
    for start in range(0, 12, 3):
        assert commit(store, replace(add_part(store, *range(start, start + 3), commits=False), lease=1))
    return folder


def copies(folder: Path, steps: int) -> Iterable[tuple[int, Store]]:
    for step in range(steps):
        copy = folder.with_name(f"step-{step}")
        shutil.copytree(folder, copy)
        yield step, open_store(str(copy))


def test_small_parts_become_one_with_the_same_records(store: Store) -> None:
    lease = take_lease(store, 3)
    for start in (9, 3, 6, 0):
        add_part(store, *range(start, start + 3))
    before = load(store).tally()
    assert join(store, lease) == 1
    (entry,) = load(store).entries
    assert (entry.lease, len(entry.replaces), entry.tally) == (3, 4, before)
    check_parts(store, ROWS)
    table = ds.dataset("data", filesystem=store.arrow_filesystem(), format="parquet").to_table()
    assert table.schema.equals(RECORD_SCHEMA)
    assert table["plan_row"].to_pylist() == sorted(ROWS)
    assert reconcile(store, TOTAL, lease)[1] == Repairs()
    assert small_parts([entry]) == []


def test_large_parts_and_a_single_small_one_are_left_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    large, little = add_part(store, *range(40)), add_part(store, 41)
    assert large.size > little.size
    sizes = Sizes(large.size, 2 * large.size)
    assert small_parts([large, little], sizes) == []
    assert small_parts([large, little, add_part(store, 42)], sizes)[0].name == little.name


@pytest.mark.parametrize("seed", range(4))
def test_joined_parts_have_the_size_that_is_wanted(seed: int, tmp_path: Path) -> None:
    store, random, sizes = open_store(str(tmp_path)), Random(seed), Sizes(40_000, 80_000, row_group=20_000)
    lease, first = take_lease(store, 1), 0
    for _ in range(60):
        numbers = range(first, first := first + random.randint(1, 12))
        rows = finished({n: [kept_round(output=random.randbytes(800).hex())] for n in numbers})
        commit(store, write_part(store, *outcomes(rows), rows["plan_row"].to_numpy()))
    before = sum(entry.size for entry in load(store).entries)
    joined = join_parts(store, small_parts(load(store).entries, sizes), lease, lambda: None, sizes)
    found = load(store)
    assert len(found.entries) == joined > 1
    # footers count here, in parts as small as these
    most = sizes.target + 2 * sizes.least + 2 * sizes.row_group
    assert all(sizes.least <= entry.size <= most for entry in found.entries)
    assert sum(entry.size for entry in found.entries) < before
    assert found.done(first).all()
    assert sum(len(entry.rows) for entry in found.entries) == first
    assert small_parts(found.entries, sizes) == []


def test_parts_with_other_columns_are_not_joined_with_each_other(small: Path) -> None:
    store, lease = open_store(str(small)), Lease(open_store(str(small)), 1)
    for number in range(12, 18):
        kept, others = outcomes(finished({number: [kept_round(), rejected_round(2, 1)]}))
        # one column more in some, another type in one, and both kinds of row everywhere between
        more = pa.array([0.5] * kept.num_rows, pa.float32() if number == 17 else pa.float64())
        commit(store, write_part(store, kept.append_column("score", more), others, np.array([number])))
    odd = small_parts(load(store).entries)
    assert len(odd) == 9
    assert join_parts(store, odd, lease, lambda: None) == 2
    found = load(store)
    assert sorted(len(entry.rows) for entry in found.entries) == [1, 5, 12]
    assert small_parts(found.entries) == []
    assert reconcile(store, TOTAL, lease)[1] == Repairs()
    check_parts(store, set(range(18)))
    columns = {len(entry.rows): pq.read_schema(small / entry.files[0].path) for entry in found.entries}
    assert columns[12].equals(RECORD_SCHEMA)
    assert [columns[rows].field("score").type for rows in (5, 1)] == [pa.float64(), pa.float32()]


def test_row_groups_are_not_those_of_the_small_parts(small: Path) -> None:
    store = open_store(str(small))
    join(store, Lease(store, 1))
    (path,) = small.glob("data/*.parquet")
    assert pq.ParquetFile(path).num_row_groups == 1


def test_a_kill_at_any_step_costs_nothing(small: Path) -> None:
    survived = 0
    for step, store in copies(small, 20):
        try:
            join(SteppingStore(store, at_step(step, kill)), Lease(store, 1))
            survived += 1
        except Killed:
            pass
        assert load(store).tally().rows == len(ROWS), step
        _, repairs = reconcile(store, TOTAL, take_lease(store, 2))
        assert (repairs.broken_parts, repairs.doubled_rows) == (0, 0), step
        check_parts(store, ROWS)
        join(store, Lease(store, 2))
        check_parts(store, ROWS)
        assert len(load(store).entries) == 1
    # two files, one entry, and four times an entry and two files to remove
    assert survived == 20 - 15


@pytest.mark.parametrize("joins", [False, True])
def test_another_run_may_take_over_at_any_step(joins: bool, small: Path) -> None:
    """The first driver is suspended before a step, goes on when the second has reconciled, and joined or not."""
    lost = 0
    for step, store in copies(small, 15):

        def take_over(store: Store = store) -> None:
            second = take_lease(store, 2)
            reconcile(store, TOTAL, second)
            if joins:
                join(store, second)

        try:
            join(SteppingStore(store, at_step(step, take_over)), Lease(store, 1))
        except LeaseLost:
            lost += 1
        found, _ = reconcile(store, TOTAL, Lease(store, 2))
        assert found.done(len(ROWS)).all(), step
        check_parts(store, ROWS)
    # while it writes and while it commits; once it only removes, what it removes is no part any more
    assert lost == 3


def test_a_late_task_takes_back_a_part_that_was_joined(small: Path) -> None:
    store = open_store(str(small))
    late = load(store).entries[0]
    join(store, take_lease(store, 2))
    store.write_bytes(f"lease/{3:06d}.json", b"{}")
    late = replace(add_part(store, *late.rows.tolist(), commits=False), lease=1, name="0" * 24)
    with pytest.raises(LeaseLost):
        commit_held(store, late, Lease(store, 1))
    assert {row for entry in load(store).entries for row in entry.rows.tolist()} == ROWS
    assert len(load(store).entries) == 1


def test_an_entry_without_files_does_not_take_along_what_it_replaces(small: Path) -> None:
    store = open_store(str(small))
    names = tuple(entry.name for entry in load(store).entries)
    late = add_part(store, *ROWS, replaces=names)
    store.delete(part.path for part in late.files)
    found, repairs = reconcile(store, TOTAL, Lease(store, 1))
    assert {entry.name for entry in found.entries} == set(names)
    assert repairs == Repairs(broken_parts=1)
    check_parts(store, ROWS)


def test_a_damaged_part_is_not_joined(small: Path) -> None:
    store = open_store(str(small))
    damaged = load(store).entries[2].files[0].path
    store.write_bytes(damaged, store.read_bytes(damaged)[:-1] + b"?")
    with pytest.raises(DamagedOutput, match=rf"{damaged}: is not what was written, .* remove the file"):
        join(store, Lease(store, 1))
    assert len(load(store).entries) == 4


def test_joining_ends_between_two_parts_when_it_is_asked_to(small: Path) -> None:
    store = open_store(str(small))

    def stop() -> None:
        raise Stopped("asked to")

    with pytest.raises(Stopped):
        join_parts(store, small_parts(load(store).entries), Lease(store, 1), stop)
    check_parts(store, ROWS)


def test_parts_are_joined_in_the_order_of_their_rows(small: Path) -> None:
    entries: list[Entry] = list(load(open_store(str(small))).entries)
    Random(0).shuffle(entries)
    assert [entry.rows[0] for entry in small_parts(entries)] == [0, 3, 6, 9]
