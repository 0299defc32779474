"""Reading the plan with Ray Data: a source that yields the rows that are still to do, in blocks of a given size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from ray.data import DataContext
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from ray_jobs.output.plan import ROWS_PER_GROUP
from ray_jobs.output.plan_files import damaged
from ray_jobs.output.plan_index import PlanFile
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.storage.store import Store

BYTES_PER_ROW = 1024
"""A guess for Ray Data's memory budget; it measures the real size of what is read."""

MIN_BLOCK_ROWS = 16
"""Smaller blocks than that only where a configuration asks for them: each costs what 100 rows or so cost."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of one plan file, by their place in it."""

    file: PlanFile
    places: npt.NDArray[np.int32]


Blocks = Sequence[Sequence[Slice]]


@dataclass(frozen=True)
class Pending:
    """What is still to do: the blocks of each branch of the plan, and those of seeds that could not be read."""

    branches: Mapping[str, Blocks]
    unreadable: Blocks

    def rows(self) -> dict[str, int]:
        """The pending rows of each branch."""
        return {
            name: sum(len(item.places) for block in blocks for item in block) for name, blocks in self.branches.items()
        }


class PlanSource(Datasource):
    """The pending rows of one evolver, one block a read task, so that blocks keep the size they are given."""

    def __init__(self, store: Store, name: str, blocks: Blocks, schema: pa.Schema = PLAN_SCHEMA) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._store, self._name, self._blocks, self._schema = store, name, blocks, schema

    def get_name(self) -> str:
        """The stage's name in Ray's dashboard."""
        return f"Plan_{self._name}"

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of all pending rows, roughly."""
        return BYTES_PER_ROW * sum(_rows(block) for block in self._blocks)

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """One task a block, whatever parallelism Ray Data suggests."""
        return [
            ReadTask(
                partial(read_block, self._store, block, self._schema),
                BlockMetadata(_rows(block), BYTES_PER_ROW * _rows(block), None, None),
                self._schema,
                per_task_row_limit,
            )
            for block in self._blocks
        ]


def fitting_rows(block_rows: int, pending: int, blocks: int) -> int:
    """How many rows a block should have: `block_rows`, or fewer where `pending` would not make `blocks` blocks then.

    A run that is small for its pools would otherwise leave actors without a block.
    """
    return min(block_rows, max(MIN_BLOCK_ROWS, -(-pending // blocks)))


def pending_blocks(files: Iterable[PlanFile], done: npt.NDArray[np.bool_], block_rows: int) -> list[list[Slice]]:
    """Group what is not `done` into blocks of `block_rows` rows, across files, in the plan's order."""
    blocks: list[list[Slice]] = []
    room = 0
    for file in files:
        places = np.flatnonzero(~done[file.first : file.first + file.rows]).astype(np.int32)
        while len(places):
            if not room:
                blocks.append([])
                room = block_rows
            blocks[-1].append(Slice(file, places[:room]))
            taken = min(room, len(places))
            places, room = places[taken:], room - taken
    return blocks


def read_block(store: Store, block: Sequence[Slice], schema: pa.Schema = PLAN_SCHEMA) -> list[pa.Table]:
    """The rows of one block, reading no more row groups than hold them."""
    return [pa.concat_tables(_read_slice(store, item, schema) for item in block).combine_chunks()]


def _read_slice(store: Store, wanted: Slice, schema: pa.Schema) -> pa.Table:
    groups = np.unique(wanted.places // ROWS_PER_GROUP)
    try:
        with store.open_input(wanted.file.path) as opened:
            file = pq.ParquetFile(opened, page_checksum_verification=True)
            table = file.read_row_groups(groups.tolist()).cast(schema)
    except (pa.ArrowException, OSError) as error:
        raise damaged(store, wanted.file, str(error)) from None
    # where each wanted row lies among the row groups that were read
    place_of_group = np.searchsorted(groups, wanted.places // ROWS_PER_GROUP) * ROWS_PER_GROUP
    return table.take(pa.array(place_of_group + wanted.places % ROWS_PER_GROUP))


def _rows(block: Sequence[Slice]) -> int:
    return sum(len(item.places) for item in block)
