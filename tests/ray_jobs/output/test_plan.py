"""The plan: which rows there are, with which numbers, and that it only ever grows."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.cli.status import describe, status
from ray_jobs.errors import DamagedOutput, SeedError
from ray_jobs.output import accept
from ray_jobs.output.plan import Fanout, PlanWriter, make_plan
from ray_jobs.output.plan_index import INDEX, UNREADABLE, PlanFile, PlanIndex
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.pipeline.plan_source import pending_blocks, read_block
from ray_jobs.seeds.read import SeedSource, seed_id
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import new_epoch, plan_seeds, write_seeds

BOTH = {"a": 1.0, "b": 1.0}


def fanout(split: bool = False, samples: int = 1, evolvers: dict[str, float] = BOTH, seed: int = 0) -> Fanout:
    return Fanout(evolvers, split, samples, "strategy", seed)


def source(folder: Path, **options: Any) -> SeedSource:
    return SeedSource((str(folder / "seeds.jsonl"),), **options)


def planned(store: Store, index: PlanIndex) -> list[dict[str, Any]]:
    """All rows of the plan in order."""
    rows = list[dict[str, Any]]()
    for file in index.files:
        with store.open_input(file.path) as opened:
            table = pq.read_table(opened)
        assert table.schema == PLAN_SCHEMA
        assert table.num_rows == file.rows
        assert table["plan_row"].to_pylist() == list(range(file.first, file.first + file.rows))
        rows += table.to_pylist()
    assert [row["plan_row"] for row in rows] == list(range(index.rows))
    return rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "out"))


def texts(count: int, start: int = 0) -> list[str]:
    return [f"Count to {number}." for number in range(start, start + count)]


def test_every_seed_goes_through_every_evolver_in_every_sample(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(5))
    index = plan_seeds(store, source(tmp_path), fanout(samples=3))
    rows = planned(store, index)
    assert (index.rows, index.seeds) == (30, 5)
    combinations = Counter((row["seed_instruction"], row["evolver"], row["sample"]) for row in rows)
    assert combinations == Counter((text, name, n) for text in texts(5) for name in BOTH for n in range(3))
    assert len({row["row_id"] for row in rows}) == 30
    assert {(row["seed_instruction"], row["seed_index"]) for row in rows} == set(zip(texts(5), range(5), strict=True))
    assert all(row["seed_id"] == seed_id(row["seed_instruction"], "") for row in rows)


def test_ids_come_from_content_not_from_place(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(50))
    item = planned(store, plan_seeds(store, source(tmp_path), fanout(split=True)))
    shuffled = random.Random(1).sample(texts(50), 50)
    write_seeds(tmp_path / "seeds.jsonl", [*shuffled[:20], *texts(7, start=90), *shuffled[20:]])
    other_store = open_store(str(tmp_path / "other"))
    other = planned(other_store, plan_seeds(other_store, source(tmp_path), fanout(split=True)))
    chosen = {row["seed_instruction"]: (row["evolver"], row["row_id"]) for row in other}
    assert all(chosen[row["seed_instruction"]] == (row["evolver"], row["row_id"]) for row in item)
    assert len(other) == 57


def test_what_determines_a_row_is_in_its_id() -> None:
    ids = {
        Fanout(BOTH, False, 1, strategy, seed).row_id(item, evolver, sample)
        for strategy in ("s", "t")
        for item in ("seed1", "seed2")
        for evolver in ("a", "b")
        for sample in (0, 1)
        for seed in (0, 7)
    }
    assert len(ids) == 16
    assert all(len(bytes.fromhex(item)) == 16 for item in ids)


@pytest.mark.parametrize("weights", [{"a": 1.0, "b": 3.0}, {"a": 1.0, "b": 1.0, "c": 0.5}, {"a": 100.0, "b": 1.0}])
def test_a_split_follows_the_weights(weights: dict[str, float]) -> None:
    trials = 20_000
    counts = Counter(fanout(True, evolvers=weights).chosen(str(number))[0] for number in range(trials))
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        # five standard deviations: wrong once in two million tries
        assert abs(counts[name] - trials * share) < 5 * (trials * share * (1 - share)) ** 0.5


def test_a_new_evolver_only_takes_seeds_over() -> None:
    before, after = fanout(True), fanout(True, evolvers=BOTH | {"c": 1.0})
    for number in range(1000):
        (now,) = after.chosen(str(number))
        assert now == "c" or [now] == before.chosen(str(number))


def test_the_runs_seed_deals_anew() -> None:
    item, two = fanout(True), fanout(True, seed=1)
    same = sum(item.chosen(str(number)) == two.chosen(str(number)) for number in range(1000))
    assert 400 < same < 600


def test_added_seeds_come_behind_and_nothing_moves(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(4))
    before = planned(store, plan_seeds(store, source(tmp_path), fanout()))
    write_seeds(tmp_path / "seeds.jsonl", [*texts(3, start=50), *texts(4), "Count to 1."])
    index = plan_seeds(store, source(tmp_path), fanout())
    after = planned(store, index)
    assert after[: len(before)] == before
    assert [row["seed_index"] for row in after[len(before) :]] == [4, 5, 6] * 2
    assert (index.seeds, index.rows, index.duplicates) == (7, 14, 1)
    assert accept.load(store).plan == index


def test_a_limit_that_grows_adds_seeds(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(6))
    assert plan_seeds(store, source(tmp_path, limit=2), fanout()).seeds == 2
    assert plan_seeds(store, source(tmp_path, limit=5), fanout()).seeds == 5
    assert plan_seeds(store, source(tmp_path), fanout()).seeds == 6


def test_unchanged_seeds_are_not_read_again(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(3))
    index = plan_seeds(store, source(tmp_path), fanout())
    for file in index.files:
        (tmp_path / "out" / file.path).unlink()  # whoever reads seeds looks here first for known ones
    assert plan_seeds(store, source(tmp_path), fanout()) == index


def test_seeds_that_cannot_be_read_become_rows(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "seeds.jsonl"
    write_seeds(path, texts(2))
    path.write_text(path.read_text() + '{"instruction": \n[1]\n{"instruction": 3}\n{"instruction": \n')
    index = plan_seeds(store, source(tmp_path), fanout())
    bad = [row for row in planned(store, index) if row["evolver"] is None]
    assert [file.rows for file in index.files if file.evolver == UNREADABLE] == [3]
    assert index.unreadable.total() == 3
    assert (index.seeds, index.duplicates) == (2, 1)
    assert [row["seed_index"] for row in bad] == [None] * 3
    assert bad[0]["seed_instruction"] == '{"instruction": '
    assert bad[1]["seed_error"].startswith(f"{path}:4: expected a JSON object, got ")
    write_seeds(path, [*texts(3)])
    path.write_text(path.read_text() + "[1]\n")
    again = plan_seeds(store, source(tmp_path), fanout())
    # the two others are gone, and so corrected
    assert (again.seeds, again.unreadable.total(), again.asked_rows) == (3, 1, 7)


def test_what_the_seeds_reading_told_stays_with_the_plan(tmp_path: Path, store: Store) -> None:
    rows = [{"instruction": "Go.", "id": 1}, {"instruction": "Go."}, {"instruction": 5}, {"instruction": "Say </s>"}]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "seeds.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "notes.md").write_text("x")
    told = ["unknown kind: ", "1 rows are no seeds: wrong type", "control tokens: ", "1 duplicates", "reads: id"]
    of_all = SeedSource((str(folder),))
    for _ in range(2):  # the second time nothing is read
        index = plan_seeds(store, of_all, fanout())
        assert [part in line for part, line in zip(told, index.seed_notes, strict=True)] == [True] * 5
    assert all(line in describe(status(store)) for line in index.seed_notes)


def test_a_bad_row_stops_the_plan_where_it_is_to(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", [*texts(2), {"other": "x"}])
    with pytest.raises(SeedError, match=r"seeds\.jsonl:3: "):
        plan_seeds(store, source(tmp_path, on_error="stop"), fanout())
    assert accept.load(store).plan is None


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_what_a_killed_plan_left_does_no_harm(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(9000))
    commits = iter(range(3))

    def die_in_the_second_batch() -> None:
        if next(commits) == 1:
            raise Killed

    with pytest.raises(Killed):
        make_plan(PlanWriter(new_epoch(store), die_in_the_second_batch), source(tmp_path), fanout())
    assert accept.load(store).index.rows == 2 * 8192
    assert len(store.list("plan/a")) == 2
    again = plan_seeds(store, source(tmp_path), fanout())
    whole = open_store(str(tmp_path / "whole"))
    assert planned(store, again) == planned(whole, plan_seeds(whole, source(tmp_path), fanout()))
    epoch = new_epoch(store)
    assert epoch.clean().leftover_files == 2
    assert planned(store, epoch.accepted.index) == planned(store, again)


def test_a_flipped_bit_in_the_plan_is_told(tmp_path: Path, store: Store) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(300))
    file = plan_seeds(store, source(tmp_path), fanout()).files[0]
    data = bytearray(store.read_bytes(file.path))
    for place in (len(data) // 4, len(data) // 2):
        data[place] ^= 1
    store.write_bytes(file.path, bytes(data))
    write_seeds(tmp_path / "seeds.jsonl", texts(301))
    with pytest.raises(DamagedOutput, match="is not what was written"):
        plan_seeds(store, source(tmp_path), fanout())
    everything = pending_blocks([file], np.zeros(file.end, dtype=np.bool_), 300)[0]
    with pytest.raises(DamagedOutput, match="is not what was written"):
        read_block(store, everything)


@pytest.mark.parametrize("evolver", ["..", "a/b", ""])
def test_an_index_leads_nowhere_else(evolver: str) -> None:
    raw = PlanIndex(files=[PlanFile(evolver, 0, 1)]).to_json()
    with pytest.raises(DamagedOutput, match="no place of a plan file"):
        PlanIndex.from_json(raw, "here")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"files": [{"evolver": "a"}], "unreadable": {}}', b"\xff"])
def test_a_damaged_index_of_the_first_version_is_told(store: Store, content: bytes) -> None:
    store.write_bytes(INDEX, content)
    with pytest.raises(DamagedOutput, match=r"/out/plan/index\.json: expected a plan index, got something else"):
        accept.load(store)


def test_an_object_store_holds_the_same_plan(
    tmp_path: Path, store: Store, s3_url: str, s3_options: dict[str, Any]
) -> None:
    write_seeds(tmp_path / "seeds.jsonl", texts(3))
    remote = open_store(f"{s3_url}/run", s3_options)
    there, here = (plan_seeds(item, source(tmp_path), fanout()) for item in (remote, store))
    assert (there.rows, there.seeds) == (here.rows, here.seeds)
    assert planned(remote, there) == planned(store, here)
    assert pa.Table.from_pylist(planned(remote, there), PLAN_SCHEMA).num_rows == 6
