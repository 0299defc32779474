"""Parts become large published ones of the wanted size, with the same records, and damaged ones are refused.

What kills and other runs at each step of it cost is in takeover/.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.errors import DamagedOutput, Stopped
from ray_jobs.output.epochs import Epoch, add_part
from ray_jobs.output.join import Sizes, join_parts, small_parts
from ray_jobs.output.parts import write_part
from ray_jobs.output.schema import RECORD_SCHEMA
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import (
    check_parts,
    commit_part,
    finished,
    kept_round,
    new_epoch,
    outcomes,
    plain_tables,
    plan_numbers,
    rejected_round,
)

ROWS = set(range(12))


@pytest.fixture
def small(tmp_path: Path) -> Epoch:
    """An epoch with four committed parts of three rows each, in any order."""
    return of_small_parts(open_store(str(tmp_path / "small")))


def of_small_parts(store: Store) -> Epoch:
    epoch = new_epoch(store)
    plan_numbers(epoch, 60)
    for start in (9, 3, 6, 0):
        commit_part(epoch, *range(start, start + 3))
    epoch.refresh()
    return epoch


def join(epoch: Epoch) -> int:
    return join_parts(epoch, small_parts(epoch.refresh().parts), lambda: None)


def test_small_parts_become_one_with_the_same_records(store: Store) -> None:
    epoch = of_small_parts(store)
    before = epoch.accepted.manifest.outcome_counts()
    assert join(epoch) == 1
    (entry,) = epoch.refresh().parts
    assert entry.outcome_counts == before
    check_parts(store, ROWS)
    (table,) = plain_tables(store, "data")
    assert table.schema.equals(RECORD_SCHEMA)
    assert table["plan_row"].to_pylist() == sorted(ROWS)
    assert [path for path, _ in store.list("staging")] == []
    assert small_parts([entry]) == []
    assert pq.ParquetFile(store.open_input(entry.files[0].path)).num_row_groups == 1


def test_a_staged_part_alone_is_published_and_a_published_one_left_alone(small: Epoch) -> None:
    join(small)
    (part,) = small.refresh().parts
    large = commit_part(small, *range(12, 52))
    sizes = Sizes(large.size, 2 * large.size)
    assert small_parts([part], sizes) == []
    assert [entry.name for entry in small_parts([large], sizes)] == [large.name]
    assert {entry.name for entry in small_parts([part, large], sizes)} == {part.name, large.name}
    join_parts(small, small_parts([large], sizes), lambda: None, sizes)
    assert len(small.refresh().parts) == 2
    check_parts(small.store, ROWS | set(range(12, 52)))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_joined_parts_have_the_size_that_is_wanted(seed: int, tmp_path: Path) -> None:
    epoch, random, sizes = new_epoch(open_store(str(tmp_path))), Random(seed), Sizes(40_000, 80_000, row_group=20_000)
    plan_numbers(epoch, 720)
    first = 0
    for _ in range(60):
        numbers = range(first, first := first + random.randint(1, 12))
        rows = finished({n: [kept_round(output=random.randbytes(800).hex())] for n in numbers})
        entry = write_part(epoch.store, epoch.lease.tag, *outcomes(rows), rows["plan_row"].to_numpy())
        add_part(epoch.store, epoch.lease, entry)
    small = epoch.refresh().parts
    joined = join_parts(epoch, small_parts(small, sizes), lambda: None, sizes)
    found = epoch.refresh()
    assert len(found.parts) == joined > 1
    # footers count here, in parts as small as these
    maximum = sizes.target + 2 * sizes.minimum + 3 * sizes.row_group
    assert all(sizes.minimum <= entry.size <= maximum for entry in found.parts)
    assert sum(entry.size for entry in found.parts) < sum(entry.size for entry in small)
    assert found.manifest.done(first).all()
    assert sum(len(entry.rows) for entry in found.parts) == first
    assert small_parts(found.parts, sizes) == []


def test_parts_with_other_columns_are_not_joined_with_each_other(small: Epoch) -> None:
    for number in range(12, 18):
        kept, others = outcomes(finished({number: [kept_round(), rejected_round(2, 1)]}))
        # one column more in some, another type in one, and both kinds of row everywhere between
        more = pa.array([0.5] * kept.num_rows, pa.float32() if number == 17 else pa.float64())
        more_columns = kept.append_column("score", more)
        entry = write_part(small.store, small.lease.tag, more_columns, others, np.array([number]))
        add_part(small.store, small.lease, entry)
    assert join(small) == 3
    found = small.refresh().parts
    assert sorted(len(entry.rows) for entry in found) == [1, 5, 12]
    assert small_parts(found) == []
    check_parts(small.store, set(range(18)))
    columns = {len(entry.rows): pq.read_schema(small.store.open_input(entry.files[0].path)) for entry in found}
    assert columns[12].equals(RECORD_SCHEMA)
    assert [columns[rows].field("score").type for rows in (5, 1)] == [pa.float64(), pa.float32()]


def test_rows_that_count_elsewhere_are_left_out(small: Epoch) -> None:
    # as a task that Ray has run twice may leave them
    commit_part(small, 11, 12)
    found = small.refresh()
    assert sum(entry.extra for entry in found.parts) == 1
    join(small)
    assert sum(entry.extra for entry in small.refresh().parts) == 0
    check_parts(small.store, ROWS | {12})


def test_a_damaged_part_is_not_joined(small: Epoch) -> None:
    damaged = small.accepted.parts[2].files[0].path
    small.store.write_bytes(damaged, small.store.read_bytes(damaged)[:-1] + b"?")
    with pytest.raises(DamagedOutput, match=rf"{damaged}: is not what was written, .* `evolve repair`"):
        join(small)
    assert len(small.refresh().parts) == 4


def test_joining_ends_between_two_parts_when_it_is_asked_to(small: Epoch) -> None:
    def stop() -> None:
        raise Stopped("asked to")

    with pytest.raises(Stopped):
        join_parts(small, small_parts(small.accepted.parts), stop)
    small.refresh()
    check_parts(small.store, ROWS)


def test_parts_are_joined_in_the_order_of_their_rows(small: Epoch) -> None:
    entries = list(small.accepted.parts)
    Random(0).shuffle(entries)
    assert [entry.rows[0] for entry in small_parts(entries)] == [0, 3, 6, 9]
