"""The sink: lays finished rows out flat, stages them as a part and commits it.

Each write task commits its own part, so that a killed run keeps every part that was finished. A part's name is the
digest of its bytes: a task that runs again on the same rows writes the same files and finds its entry there. A task
that outlives its run's lease does no harm: its part is one of an epoch that has been sealed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ray.data import Datasink
from ray.data.block import Block, BlockAccessor
from ray.data.datasource.datasink import WriteResult

from ray_jobs.board import Board
from ray_jobs.checksums import checksum
from ray_jobs.epochs import add_part
from ray_jobs.layout import Layout
from ray_jobs.lease import Lease
from ray_jobs.manifest import Entry, Part, Rows
from ray_jobs.output_names import DATA, REJECTED, Tag, part_paths
from ray_jobs.part_files import WRITTEN_AS
from ray_jobs.rows import ROW_GROUP_ROWS
from ray_jobs.storage import Store
from ray_jobs.tally import tally_records


class PartsSink(Datasink[None]):
    """Writes and commits the rows of one write task as one part. Rows that never began are left out."""

    def __init__(self, store: Store, lease: Lease, layout: Layout, board: Board) -> None:
        self._store, self._lease, self._layout, self._board = store, lease, layout, board

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
            self._board.committed(entry)

    def on_write_complete(self, write_result: WriteResult[None]) -> None:
        """Nothing is left to do: each task has committed its part."""

    def get_name(self) -> str:
        """The stage's name in Ray's dashboard."""
        return "Parts"


def write_part(store: Store, tag: Tag, kept: pa.Table, rejected: pa.Table, rows: Rows) -> Entry:
    """Stage the files of a part and return its entry, which the caller commits. Empty tables give no file."""
    tables = {folder: table for folder, table in ((DATA, kept), (REJECTED, rejected)) if table.num_rows}
    encoded = {folder: _encode(table) for folder, table in tables.items()}
    name = _name(encoded)
    paths, parts = part_paths(tag, name), []
    for folder, data in encoded.items():
        store.write_bytes(paths[folder], data)
        parts.append(Part(paths[folder], len(data), tables[folder].num_rows, checksum(data)))
    tally = tally_records(kept, rejected)
    return Entry.of(name, parts, rows, tally, schema=schema_digest(kept.schema, rejected.schema))


def _name(files: Mapping[str, bytes]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for data in files.values():
        digest.update(data)
    return digest.hexdigest()


def schema_digest(*schemas: pa.Schema) -> str:
    """BLAKE2b-64 of the columns of a part's files, those of a file that it lacks included; metadata does not count."""
    columns = [[f"{field.name} {field.type} {field.nullable}" for field in schema] for schema in schemas]
    return hashlib.blake2b(json.dumps(columns).encode(), digest_size=8).hexdigest()


def _encode(table: pa.Table) -> bytes:
    buffer = BytesIO()
    pq.write_table(table, buffer, row_group_size=ROW_GROUP_ROWS, **WRITTEN_AS)
    return buffer.getvalue()
