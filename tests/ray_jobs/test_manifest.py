"""What an output's manifest says: entries as they are stored, what is done, and sums that a recount confirms."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.errors import DamagedOutput
from ray_jobs.manifest import Entry, Part, commit, entry_path, forget, load
from ray_jobs.checksums import checksum
from ray_jobs.parts import write_part
from ray_jobs.rows import KEPT
from ray_jobs.storage import Store, open_store
from ray_jobs.tally import Tally, tally_records
from tests.ray_jobs.samples import add_part, finished, kept_round, outcomes, rejected_round, unreadable_round

SUMMED = ("prompt_tokens", "completion_tokens", "ifd", "ic_ifd", "mean_top1_prob", "loss_q")
NUMBERS = st.sets(st.integers(0, 2**40), max_size=40)
NAMES = st.sampled_from(["", "a", "qwen2.5"])
STATUSES = st.sampled_from(["kept", "failed"])
OUTCOMES = st.dictionaries(st.tuples(NAMES, st.integers(0, 3), STATUSES, st.text(max_size=4)), st.integers(1, 9))
SUMS = st.dictionaries(
    st.tuples(NAMES, st.integers(0, 3), st.sampled_from(SUMMED)),
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 9)),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "out"))


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    tally = Tally(rows=draw(st.integers(0, 9)), outcomes=Counter(draw(OUTCOMES)))
    for key, (total, count) in draw(SUMS).items():
        tally.sums[key] = total
        tally.counts[key] = count
    return tally


@given(NUMBERS, tallies(), st.lists(st.text(max_size=5), max_size=2))
def test_an_entry_survives_being_stored(rows: set[int], tally: Tally, replaces: list[str]) -> None:
    files = (Part("data/x.parquet", 3, 2, "ab"), Part("rejected/x.parquet", 1, 1, "cd"))
    entry = replace(Entry.of("x", files, np.array(sorted(rows), dtype=np.int64), tally, replaces), lease=3, schema="ef")
    read = Entry.from_json(entry.to_json(), "here")
    assert (read.lease, read.schema) == (3, "ef")
    assert (read.name, read.files, read.replaces, read.tally) == (entry.name, files, tuple(replaces), tally)
    assert read.rows.tolist() == sorted(rows)


def test_rows_that_follow_each_other_cost_next_to_nothing() -> None:
    entry = Entry.of("x", (), np.arange(10**9, 10**9 + 1024), Tally())
    assert len(entry.to_json()) < 250


@pytest.mark.parametrize(
    "change",
    [{"rows": "?"}, {"rows": "AAAA"}, {"rows": 3}, {"files": [{"path": "x"}]}, {"files": 3}, {"tally": []},
     {"tally": {"rows": 1, "outcomes": [1], "sums": []}}, {"replaces": None}],
)  # fmt: skip
def test_a_damaged_entry_is_told(store: Store, change: dict[str, Any]) -> None:
    raw = json.loads(add_part(store, 1).to_json()) | change
    store.write_bytes(entry_path("other"), json.dumps(raw).encode())
    with pytest.raises(
        DamagedOutput, match=r"/out/manifest/other\.json: expected a manifest entry, got something else"
    ):
        load(store)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff", b"{}"])
def test_what_is_no_entry_at_all_is_told(content: bytes) -> None:
    with pytest.raises(DamagedOutput, match="here: expected a manifest entry"):
        Entry.from_json(content, "here")


def test_what_is_done_is_what_is_committed(store: Store) -> None:
    add_part(store, 1, 2)
    add_part(store, 5)
    add_part(store, 7, commits=False)
    assert load(store).done(8).tolist() == [False, True, True, False, False, True, False, False]


def test_the_same_part_is_committed_once(store: Store) -> None:
    entry = add_part(store, 1)
    again = add_part(store, 1, commits=False)
    assert (again.name, again.files) == (entry.name, entry.files)
    assert not commit(store, again)
    assert len(load(store).entries) == 1


def test_a_replaced_entry_no_longer_counts(store: Store) -> None:
    old = add_part(store, 1, 2)
    new = add_part(store, 2, replaces=(old.name,))
    found = load(store)
    assert [entry.name for entry in found.entries] == [new.name]
    assert [entry.name for entry in found.replaced] == [old.name]
    assert found.tally().rows == 1
    forget(store, found.replaced)
    assert load(store).replaced == []
    assert [path for path, _ in store.list("data")] == [new.files[0].path]


def test_an_unfinished_file_beside_the_entries_is_no_entry(store: Store) -> None:
    add_part(store, 1)
    store.write_bytes("manifest/.x.json.0123.tmp", b"{")
    assert len(load(store).entries) == 1


def test_a_part_says_what_its_files_hold(store: Store, tmp_path: Path) -> None:
    entry = add_part(store, 4, 5)
    assert [part.records for part in entry.files] == [2, 2]
    for part in entry.files:
        data = (tmp_path / "out" / part.path).read_bytes()
        assert (len(data), checksum(data)) == (part.bytes, part.checksum)


def test_a_part_without_kept_records_has_one_file(store: Store) -> None:
    rows = finished({1: [rejected_round()]})
    entry = write_part(store, *outcomes(rows), np.array([1]))
    assert [part.path for part in entry.files] == [f"rejected/{entry.name}.parquet"]


ROUND = st.sampled_from(["kept", "unscored", "unchanged", "equal"])


def make(kind: str, number: int) -> dict[str, Any]:
    if kind == "kept":
        return kept_round(number, ifd=number / 7, mean_top1_prob=None if number == 2 else 0.25)
    if kind == "unscored":
        return kept_round(number, ifd=None, ic_ifd=None, loss_q=None)
    return rejected_round(number, reason=kind)


@given(st.lists(st.lists(ROUND, min_size=1, max_size=3), min_size=1, max_size=12), st.integers(0, 3))
def test_sums_are_those_of_a_recount(plan: list[list[str]], unreadable: int) -> None:
    tables = [
        finished({n: [make(kind, i) for i, kind in enumerate(row, 1)]}, "ab"[n % 2]) for n, row in enumerate(plan)
    ]
    tables += [finished({1000 + n: [unreadable_round()]}, None) for n in range(unreadable)]
    parts = [outcomes(table) for table in tables]
    tally = Tally.total(tally_records(*part) for part in parts)
    kept, rejected = (pa.concat_tables(tables) for tables in zip(*parts, strict=True))

    assert tally.rows == len(plan) + unreadable
    expected = Counter((one["evolver"], one["round"], KEPT, "") for one in kept.to_pylist())
    expected += Counter(
        (one["evolver"] or "", one["round"], one["status"], one["reason"]) for one in rejected.to_pylist()
    )
    assert tally.outcomes == expected
    assert tally.by_status().total() == kept.num_rows + rejected.num_rows
    for evolver, number in tally.groups():
        group = kept.filter(pc.and_(pc.equal(kept["evolver"], evolver), pc.equal(kept["round"], number)))
        for column in SUMMED:
            mean = pc.mean(group[column]).as_py() if group.num_rows else None
            assert tally.mean((evolver, number), column) == (None if mean is None else pytest.approx(mean))


def test_plain_pyarrow_reads_what_is_counted(store: Store, tmp_path: Path) -> None:
    for start in range(0, 30, 10):
        add_part(store, *range(start, start + 10))
    table = ds.dataset(tmp_path / "out" / "data").to_table()
    tally = load(store).tally()
    assert tally.outcomes[("a", 1, "kept", "")] == table.num_rows == 30
    assert tally.sums[("a", 1, "loss_q")] == pc.sum(table["loss_q"]).as_py()
