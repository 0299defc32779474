"""What an output's manifest says: entries as they are stored, what is done, and sums that a recount confirms."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.errors import DamagedOutput
from ray_jobs.output import accept
from ray_jobs.output.checksums import checksum, from_checked, to_checked
from ray_jobs.output.counts import OutcomeCounts, count_records
from ray_jobs.output.epochs import add_part
from ray_jobs.output.manifest import Entry, Part
from ray_jobs.output.parts import write_part
from ray_jobs.output.schema import KEPT
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import (
    commit_part,
    finished,
    kept_round,
    new_epoch,
    outcomes,
    plan_numbers,
    rejected_round,
    stage_part,
    unreadable_round,
)

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
def many_counts(draw: st.DrawFn) -> OutcomeCounts:
    outcome_counts = OutcomeCounts(rows=draw(st.integers(0, 9)), outcomes=Counter(draw(OUTCOMES)))
    for key, (total, count) in draw(SUMS).items():
        outcome_counts.sums[key] = total
        outcome_counts.counts[key] = count
    return outcome_counts


NAME = "0123456789abcdef01234567"
FILES = (Part(f"data/{NAME}.parquet", 3, 2, "ab"), Part(f"rejected/{NAME}.parquet", 1, 1, "cd"))


@given(NUMBERS, many_counts())
def test_an_entry_survives_being_stored(rows: set[int], outcome_counts: OutcomeCounts) -> None:
    entry = Entry.of(NAME, FILES, np.array(sorted(rows), dtype=np.int64), outcome_counts, extra=2, schema="ef")
    read = Entry.from_json(json.loads(json.dumps(entry.to_json())), "here")
    assert read == entry
    assert (read.files, read.outcome_counts, read.rows.tolist()) == (FILES, outcome_counts, sorted(rows))


def test_rows_that_follow_each_other_cost_next_to_nothing() -> None:
    entry = Entry.of("x", (), np.arange(10**9, 10**9 + 1024), OutcomeCounts())
    assert len(json.dumps(entry.to_json())) < 250


@pytest.mark.parametrize(
    "change",
    [{"rows": "?"}, {"rows": "AAAA"}, {"rows": 3}, {"files": [{"path": "x"}]}, {"files": 3}, {"tally": []},
     {"tally": {"rows": 1, "outcomes": [1], "sums": []}}],
)  # fmt: skip
def test_a_damaged_entry_is_told(change: dict[str, Any]) -> None:
    raw = Entry.of(NAME, FILES, np.array([1]), OutcomeCounts()).to_json() | change
    with pytest.raises(DamagedOutput, match=r"here: expected a manifest entry, got something else"):
        Entry.from_json(raw, "here")


@pytest.mark.parametrize("path", ["../victim.txt", "/etc/passwd", "data/../run.json", "README.md", "data/x.parquet"])
def test_no_entry_leads_to_what_is_no_file_of_records(path: str) -> None:
    raw = Entry.of(NAME, [Part(path, 3, 2, "ab")], np.array([1]), OutcomeCounts()).to_json()
    with pytest.raises(DamagedOutput, match=r"here: names .* no place of a file of records"):
        Entry.from_json(raw, "here")


@pytest.mark.parametrize("content", [[], 3, None, {}, "x"])
def test_what_is_no_entry_at_all_is_told(content: Any) -> None:
    with pytest.raises(DamagedOutput, match="here: expected a manifest entry"):
        Entry.from_json(content, "here")


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_flipped_bit_passes(place: int, bit: int) -> None:
    data = bytearray(to_checked({"rows": 12, "of": "seeds"}))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(DamagedOutput, match="here: is not what was written"):
        from_checked(bytes(data), "here")


def test_what_is_done_is_what_is_committed(store: Store) -> None:
    epoch = new_epoch(store)
    plan_numbers(epoch, 8)
    commit_part(epoch, 1, 2)
    commit_part(epoch, 5)
    stage_part(epoch, 7)
    done = accept.load(store).manifest.done(8)
    assert done.tolist() == [False, True, True, False, False, True, False, False]


def test_the_same_part_is_committed_once(store: Store) -> None:
    epoch = new_epoch(store)
    plan_numbers(epoch, 2)
    entry = commit_part(epoch, 1)
    again = stage_part(epoch, 1)
    assert (again.name, again.files) == (entry.name, entry.files)
    assert not add_part(store, epoch.lease, again)
    assert len(accept.load(store).parts) == 1


def test_an_unfinished_file_beside_the_entries_is_no_entry(store: Store) -> None:
    epoch = new_epoch(store)
    plan_numbers(epoch, 2)
    commit_part(epoch, 1)
    store.write_bytes(f"entries/{epoch.lease.tag}/.part-x.json.0123.tmp", b"{")
    assert len(accept.load(store).parts) == 1


def test_an_entry_under_another_name_is_damage(store: Store) -> None:
    epoch = new_epoch(store)
    plan_numbers(epoch, 2)
    entry = commit_part(epoch, 1)
    content = store.read_bytes(f"entries/{epoch.lease.tag}/part-{entry.name}.json")
    store.write_bytes(f"entries/{epoch.lease.tag}/part-{NAME}.json", content)
    with pytest.raises(DamagedOutput, match=f"part-{NAME}.json: holds the entry of another part, {entry.name}"):
        accept.load(store)


def test_a_part_says_what_its_files_hold(store: Store, tmp_path: Path) -> None:
    entry = stage_part(new_epoch(store), 4, 5)
    assert [(part.records, part.folder) for part in entry.files] == [(2, "data"), (2, "rejected")]
    for part in entry.files:
        data = (tmp_path / "out" / part.path).read_bytes()
        assert (len(data), checksum(data)) == (part.bytes, part.checksum)


def test_a_part_without_kept_records_has_one_file(store: Store) -> None:
    rows, tag = finished({1: [rejected_round()]}), new_epoch(store).lease.tag
    entry = write_part(store, tag, *outcomes(rows), np.array([1]))
    assert [part.path for part in entry.files] == [f"staging/{tag}/{entry.name}.rejected"]


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
    outcome_counts = OutcomeCounts.total(count_records(*part) for part in parts)
    kept, rejected = (pa.concat_tables(tables) for tables in zip(*parts, strict=True))

    assert outcome_counts.rows == len(plan) + unreadable
    expected = Counter((row["evolver"], row["round"], KEPT, "") for row in kept.to_pylist())
    expected += Counter(
        (row["evolver"] or "", row["round"], row["status"], row["reason"]) for row in rejected.to_pylist()
    )
    assert outcome_counts.outcomes == expected
    assert outcome_counts.by_status().total() == kept.num_rows + rejected.num_rows
    for evolver, number in outcome_counts.groups():
        group = kept.filter(pc.and_(pc.equal(kept["evolver"], evolver), pc.equal(kept["round"], number)))
        for column in SUMMED:
            mean = pc.mean(group[column]).as_py() if group.num_rows else None
            assert outcome_counts.mean((evolver, number), column) == (None if mean is None else pytest.approx(mean))
