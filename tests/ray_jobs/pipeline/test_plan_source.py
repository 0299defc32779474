"""Reading what is pending: every row that is not done, once, in blocks of the size asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.output.plan import Fanout
from ray_jobs.output.plan_index import PlanFile, PlanIndex
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.pipeline.plan_source import PlanSource, Slice, fitting_rows, pending_blocks, read_block
from ray_jobs.seeds.read import SeedSource
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import plan_seeds, write_seeds

SEEDS = 700  # more than two row groups of a plan file


def rows_of(block: list[Slice]) -> list[int]:
    return [item.file.first + place for item in block for place in item.places.tolist()]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=9), max_size=6), st.integers(1, 12))
def test_blocks_hold_what_is_pending(dones: list[list[bool]], block_rows: int) -> None:
    firsts = np.cumsum([0, *map(len, dones)]).tolist()
    files = [PlanFile("a", first, len(done)) for first, done in zip(firsts, dones, strict=False)]
    done = np.array([item for mask in dones for item in mask], dtype=np.bool_)
    expected = [number for number, item in enumerate(done) if not item]
    blocks = pending_blocks(files, done, block_rows)
    assert [rows_of(block) for block in blocks] == [
        expected[start : start + block_rows] for start in range(0, len(expected), block_rows)
    ]
    assert all(len(item.places) for block in blocks for item in block)


def test_the_files_of_other_evolvers_are_passed_over() -> None:
    files = [PlanFile("a", 0, 3), PlanFile("a", 7, 2)]
    done = np.zeros(9, dtype=np.bool_)
    assert [rows_of(block) for block in pending_blocks(files, done, 4)] == [[0, 1, 2, 7], [8]]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, PlanIndex]:
    folder = tmp_path_factory.mktemp("plan")
    write_seeds(folder / "one.jsonl", [f"Count to {number}." for number in range(SEEDS)])
    store = open_store(str(folder / "out"))
    fanout = Fanout({"a": 1.0}, False, 1, "strategy", 0)
    plan_seeds(store, SeedSource((str(folder / "one.jsonl"),)), fanout)
    write_seeds(folder / "two.jsonl", [f"Count to {number}." for number in range(SEEDS, SEEDS + 50)])
    return store, plan_seeds(store, SeedSource((str(folder / "*.jsonl"),)), fanout)


@given(st.sets(st.integers(0, SEEDS + 49)), st.integers(1, 600))
def test_a_block_reads_back_its_rows(planned: tuple[Store, PlanIndex], pending: set[int], block_rows: int) -> None:
    store, index = planned
    done = np.ones(index.rows, dtype=np.bool_)
    done[sorted(pending)] = False
    read = list[int]()
    for block in pending_blocks(index.files, done, block_rows):
        (table,) = read_block(store, block)
        assert table.schema == PLAN_SCHEMA
        assert table["plan_row"].to_pylist() == rows_of(block)
        assert table["seed_instruction"].to_pylist() == [f"Count to {n}." for n in table["plan_row"].to_pylist()]
        read += table["plan_row"].to_pylist()
    assert read == sorted(pending)


def test_a_read_task_is_a_block_whatever_parallelism_is_asked_for(
    planned: tuple[Store, PlanIndex], tmp_path: Path
) -> None:
    store, index = planned
    blocks = pending_blocks(index.files, np.zeros(index.rows, dtype=np.bool_), 100)
    source = PlanSource(store, "a", blocks)
    tasks = source.get_read_tasks(3)
    assert [task.metadata.num_rows for task in tasks] == [100] * 7 + [50]
    assert source.estimate_inmemory_data_size() == index.rows * 1024
    assert [row for task in tasks for table in task() for row in table["plan_row"].to_pylist()] == list(range(750))


@pytest.mark.parametrize(
    ("block_rows", "pending", "blocks", "rows"),
    [
        (256, 100_000, 8, 256),
        (256, 1000, 8, 125),
        (256, 1001, 8, 126),
        (256, 60, 8, 16),
        (4, 1000, 8, 4),
        (4, 5, 8, 4),
        (256, 0, 8, 16),
    ],
)
def test_a_small_run_has_smaller_blocks(block_rows: int, pending: int, blocks: int, rows: int) -> None:
    assert fitting_rows(block_rows, pending, blocks) == rows
