"""The sink: lays finished rows out flat, writes them as a part and commits it.

Each write task commits its own part, so that a killed run keeps every part that was finished. A part's name is the
digest of its bytes: a task that runs again on the same rows writes the same files and finds its entry there.

A task may outlive its run's lease: its process was suspended, its node cut off. It looks at the lease before it writes
and again after it has committed. What another run does in between is told apart by the lease's number, which stands in
each entry: of two entries that hold a row, the later lease's counts, for the run that took over and for the late task,
which takes back a part that nobody needs. Neither can decide otherwise than the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ray.data import Datasink
from ray.data.block import Block, BlockAccessor
from ray.data.datasource.datasink import WriteResult

from ray_jobs import manifest
from ray_jobs.board import Board
from ray_jobs.layout import Layout
from ray_jobs.lease import Lease
from ray_jobs.manifest import Entry, Part, Rows
from ray_jobs.rows import ROW_GROUP_ROWS
from ray_jobs.storage import Store
from ray_jobs.tally import Tally, tally_records

DATA, REJECTED = "data", "rejected"
COMPRESSION = "zstd"


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
        self._lease.check()
        written = write_part(self._store, *records, rows["plan_row"].to_numpy())
        entry = replace(written, lease=self._lease.number)
        if commit_held(self._store, entry, self._lease):
            self._board.committed(entry)

    def on_write_complete(self, write_result: WriteResult[None]) -> None:
        """Nothing is left to do: each task has committed its part."""

    def get_name(self) -> str:
        """The stage's name in Ray's dashboard."""
        return "Parts"


def write_part(store: Store, kept: pa.Table, rejected: pa.Table, rows: Rows, replaces: tuple[str, ...] = ()) -> Entry:
    """Write the files of a part and return its entry, which the caller commits. Empty tables give no file."""
    tables = {folder: table for folder, table in ((DATA, kept), (REJECTED, rejected)) if table.num_rows}
    files = {folder: (_encode(table), table.num_rows) for folder, table in tables.items()}
    entry = store_part(store, files, rows, tally_records(kept, rejected), replaces)
    return replace(entry, schema=schema_digest(kept.schema, rejected.schema))


def store_part(
    store: Store, files: Mapping[str, tuple[bytes, int]], rows: Rows, tally: Tally, replaces: tuple[str, ...] = ()
) -> Entry:
    """Store the encoded files of a part, each with its number of records, by folder; its entry is not committed yet."""
    digest = hashlib.blake2b(digest_size=12)
    for data, _ in files.values():
        digest.update(data)
    name, parts = digest.hexdigest(), []
    for folder, (data, records) in files.items():
        path = f"{folder}/{name}.parquet"
        store.write_bytes(path, data)
        parts.append(Part(path, len(data), records, checksum(data)))
    return Entry.of(name, parts, rows, tally, replaces)


def schema_digest(*schemas: pa.Schema) -> str:
    """BLAKE2b-64 of the columns of a part's files, those of a file that it lacks included; metadata does not count."""
    columns = [[f"{field.name} {field.type} {field.nullable}" for field in schema] for schema in schemas]
    return hashlib.blake2b(json.dumps(columns).encode(), digest_size=8).hexdigest()


def commit_held(store: Store, entry: Entry, lease: Lease) -> bool:
    """Commit a part under `lease`, as `manifest.commit` does; raises LeaseLost where another run has taken over.

    Then the part is taken back if that run has no need of it.
    """
    new = manifest.commit(store, entry)
    if lease.is_lost():
        take_back(store, entry)
        raise lease.lost()
    return new


def take_back(store: Store, entry: Entry) -> None:
    """Remove a part that was committed too late, if parts of later leases hold all of its rows.

    Otherwise it stays: the run that has the lease now has counted it, or will see it when it ends.
    """
    found = manifest.load(store)
    # an entry of the same name may be the later run's own: joining the same parts gives the same part
    later = [other.rows for other in found.entries if other.lease > entry.lease and other.name != entry.name]
    if later and np.isin(entry.rows, np.concatenate(later)).all():
        manifest.forget(store, [entry])


def checksum(data: bytes) -> str:
    """BLAKE2b-128, in hex."""
    return new_checksum(data).hexdigest()


def new_checksum(data: bytes = b"") -> hashlib.blake2b:
    """The checksum of `data`, to which more may be added."""
    return hashlib.blake2b(data, digest_size=16)


def _encode(table: pa.Table) -> bytes:
    buffer = BytesIO()
    pq.write_table(table, buffer, compression=COMPRESSION, row_group_size=ROW_GROUP_ROWS)
    return buffer.getvalue()
