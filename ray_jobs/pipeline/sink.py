"""The sink: commits the finished rows of each write task as one part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from ray.data import Datasink
from ray.data.block import Block, BlockAccessor
from ray.data.datasource.datasink import WriteResult

from ray_jobs.output.epochs import add_part
from ray_jobs.output.layout import Layout
from ray_jobs.output.lease import Lease
from ray_jobs.output.parts import write_part
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.storage.store import Store


class PartsSink(Datasink[None]):
    """Writes and commits the rows of one write task as one part. Rows that never began are left out."""

    def __init__(self, store: Store, lease: Lease, layout: Layout, monitor: Monitor) -> None:
        self._store, self._lease, self._layout, self._monitor = store, lease, layout, monitor

    def write(self, blocks: Iterable[Block], ctx: Any) -> None:  # noqa: ARG002
        """Commit what is finished in `blocks`. Raises LeaseLost where another run has taken the output over."""
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        finished = [self._layout.finished(table) for table in tables if table.num_rows]
        rows = pa.concat_tables(finished) if finished else None
        if rows is None or not rows.num_rows:
            return
        records = self._layout.split(rows)
        # manners: the rows would not count
        self._lease.check()
        entry = write_part(self._store, self._lease.tag, *records, rows["plan_row"].to_numpy())
        if add_part(self._store, self._lease, entry):
            self._monitor.committed(entry)

    def on_write_complete(self, write_result: WriteResult[None]) -> None:
        """Nothing is left to do: each task has committed its part."""

    def get_name(self) -> str:
        """The stage's name in Ray's dashboard."""
        return "Parts"
