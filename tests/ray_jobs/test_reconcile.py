"""Whatever a kill leaves: after reconciling, files and manifest agree and no committed row is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.errors import DamagedOutput
from ray_jobs.lease import Lease
from ray_jobs.manifest import Entry
from ray_jobs.part_files import pieces
from ray_jobs.parts import write_part
from ray_jobs.reconcile import Repairs, reconcile, rewrite
from ray_jobs.storage import Store, open_store
from tests.ray_jobs.samples import add_part, check_parts

TOTAL = 20


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return open_store(str(tmp_path / "out"))
    url, options = request.getfixturevalue("s3_url"), request.getfixturevalue("s3_options")
    return open_store(f"{url}/run", options)


def keep(*rows: int) -> Any:
    return lambda table: pc.is_in(table["plan_row"], pa.array(rows, pa.int64()))


def test_a_clean_output_is_left_alone(store: Store) -> None:
    add_part(store, 1, 2)
    add_part(store, 3)
    before = store.list()
    _, repairs = reconcile(store, TOTAL, Lease(store, 0))
    assert repairs == Repairs()
    assert store.list() == before


def test_an_empty_output_needs_no_mending(store: Store) -> None:
    found, repairs = reconcile(store, TOTAL, Lease(store, 0))
    assert not found.entries
    assert repairs == Repairs()


def test_files_that_no_entry_names_are_removed(store: Store) -> None:
    add_part(store, 1)
    add_part(store, 2, commits=False)
    store.write_bytes("data/.half.parquet.01.tmp", b"PAR1")
    _, repairs = reconcile(store, TOTAL, Lease(store, 0))
    assert repairs == Repairs(leftover_files=3)
    assert str(repairs) == "3 leftover files removed, 0 doubled rows dropped, 0 parts without files forgotten"
    check_parts(store, {1})


@pytest.mark.parametrize("gone", [0, 1])
def test_an_entry_whose_file_is_gone_is_forgotten(store: Store, gone: int) -> None:
    add_part(store, 1)
    entry = add_part(store, 2, 3)
    store.delete([entry.files[gone].path])
    found, repairs = reconcile(store, TOTAL, Lease(store, 0))
    assert repairs == Repairs(broken_parts=1)
    assert found.done(TOTAL).nonzero()[0].tolist() == [1]
    check_parts(store, {1})


def test_a_row_in_two_parts_stays_in_one(store: Store) -> None:
    add_part(store, 1, 2, 3)
    add_part(store, 3, 4)
    add_part(store, 3)
    _, repairs = reconcile(store, TOTAL, Lease(store, 0))
    assert repairs == Repairs(doubled_rows=2)
    check_parts(store, {1, 2, 3, 4})
    assert reconcile(store, TOTAL, Lease(store, 0))[1] == Repairs()


def test_a_manifest_of_another_plan_is_refused_untouched(store: Store) -> None:
    add_part(store, 1)
    add_part(store, 30)
    before = store.list()
    with pytest.raises(DamagedOutput, match=r"\.json: holds row 30, the plan has 20 rows"):
        reconcile(store, TOTAL, Lease(store, 0))
    assert store.list() == before


def test_rewriting_keeps_what_is_selected(store: Store) -> None:
    old = add_part(store, 1, 2, 3)
    new = rewrite(store, old, keep(1, 3))
    assert new is not None
    assert new.replaces == (old.name,)
    assert {folder: table["plan_row"].to_pylist() for folder, table in pieces(store, new)} == {
        "data": [1, 3],
        "rejected": [1, 3],
    }
    check_parts(store, {1, 3})


def test_rewriting_to_nothing_removes_the_part(store: Store) -> None:
    assert rewrite(store, add_part(store, 1), keep()) is None
    check_parts(store, set())


def test_rewriting_to_the_same_changes_nothing(store: Store) -> None:
    entry = add_part(store, 1, 2)
    before = store.list()
    assert rewrite(store, entry, keep(1, 2)) is entry
    assert store.list() == before


def killed_rewrites(store: Store, old: Entry) -> Iterator[set[int]]:
    """Every state in which a kill may leave a rewrite of `old` (rows 1, 2) to row 1, with the rows that then count."""
    kept, rejected = (table.filter(keep(1)(table)) for _, table in pieces(store, old))
    one_file = write_part(store, kept, rejected.slice(0, 0), old.rows[:1], (old.name,))
    yield {1, 2}
    store.delete(part.path for part in one_file.files)
    new = write_part(store, kept, rejected, old.rows[:1], (old.name,))
    yield {1, 2}
    store.write_bytes(new.path, new.to_json())
    yield {1}
    store.delete([old.path])
    yield {1}
    store.delete([old.files[0].path])
    yield {1}


@pytest.mark.parametrize("step", range(5))
def test_a_rewrite_killed_between_two_steps_is_finished_or_undone(tmp_path: Path, step: int) -> None:
    store = open_store(str(tmp_path / "out"))
    old = add_part(store, 1, 2)
    for number, rows in enumerate(killed_rewrites(store, old)):
        if number == step:
            reconcile(store, TOTAL, Lease(store, 0))
            check_parts(store, rows)
            return


@pytest.mark.parametrize("step", range(3))
def test_a_removal_killed_between_two_steps_is_finished(tmp_path: Path, step: int) -> None:
    store = open_store(str(tmp_path / "out"))
    entry = add_part(store, 1)
    store.delete([entry.path, *(part.path for part in entry.files)][: step + 1])
    reconcile(store, TOTAL, Lease(store, 0))
    check_parts(store, set())


PARTS = st.lists(st.sets(st.integers(0, TOTAL - 1), min_size=1, max_size=5), max_size=6, unique_by=frozenset)


@given(parts=PARTS, data=st.data())
def test_any_mixture_ends_with_each_row_once(
    tmp_path_factory: pytest.TempPathFactory, parts: list[set[int]], data: st.DataObject
) -> None:
    store = open_store(str(tmp_path_factory.mktemp("mixture")))
    committed, whole = list[Entry](), set[int]()
    for rows in parts:
        fate = data.draw(st.sampled_from(["committed", "left over", "broken"]))
        entry = add_part(store, *sorted(rows), commits=fate != "left over")
        if fate == "broken":
            store.delete([entry.files[data.draw(st.integers(0, 1))].path])
        if fate == "committed":
            committed.append(entry)
            whole |= rows
    reconcile(store, TOTAL, Lease(store, 0))
    check_parts(store, whole)
