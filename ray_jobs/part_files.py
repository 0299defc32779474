"""The files of a part, a piece at a time: no step holds more of them than their compressed bytes and one piece."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.manifest import Entry, Rows
from ray_jobs.parts import COMPRESSION, DATA, REJECTED, store_part
from ray_jobs.rows import RECORD_SCHEMA, REJECTED_SCHEMA, ROW_GROUP_ROWS
from ray_jobs.storage import Store
from ray_jobs.tally import Tally, tally_records

NOTHING = {DATA: RECORD_SCHEMA.empty_table(), REJECTED: REJECTED_SCHEMA.empty_table()}
"""No records: of any layout, for they count as none."""
PIECE_ROWS = 4096
ROW_GROUP_BYTES = 64 << 20


def pieces(store: Store, entry: Entry) -> Iterator[tuple[str, pa.Table]]:
    """The records of a part, at most PIECE_ROWS at a time, each with its folder: kept ones, then the others."""
    for part in entry.files:
        folder = part.path.split("/")[0]
        with store.open_input(part.path) as opened:
            for table in read_pieces(opened):
                yield folder, table


def read_pieces(opened: Any) -> Iterator[pa.Table]:
    """The records of one file, open or in an Arrow buffer's reader, at most PIECE_ROWS at a time."""
    with pq.ParquetFile(opened) as file:
        for batch in file.iter_batches(PIECE_ROWS):
            yield pa.Table.from_batches([batch]).replace_schema_metadata()


def tally_piece(folder: str, records: pa.Table) -> Tally:
    """Count records of the file in `folder`."""
    return tally_records(*(records if one == folder else nothing for one, nothing in NOTHING.items()))


class PartWriter:
    """Encodes a part in memory from pieces, of which it keeps no more than one row group a file unencoded.

    A row group is closed at ROW_GROUP_ROWS records or `row_group` bytes in memory, whichever comes first.
    """

    def __init__(self, row_group: int = ROW_GROUP_BYTES) -> None:
        self._files = {folder: _File(row_group) for folder in (DATA, REJECTED)}

    def add(self, folder: str, records: pa.Table) -> None:
        """Add records to the file in `folder`."""
        self._files[folder].add(records)

    @property
    def size(self) -> int:
        """The encoded size, in bytes, of the greater file so far."""
        return max(file.size for file in self._files.values())

    def finish(self, store: Store, rows: Rows, tally: Tally, replaces: tuple[str, ...]) -> Entry:
        """Write the files of the part, which holds `rows`, and return its entry, which the caller commits."""
        files = {folder: (file.close(), file.records) for folder, file in self._files.items() if file.records}
        return store_part(store, files, rows, tally, replaces)


class _File:
    def __init__(self, row_group: int) -> None:
        self._buffer, self._row_group = BytesIO(), row_group
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self.records = 0

    @property
    def size(self) -> int:
        return self._buffer.tell()

    def add(self, records: pa.Table) -> None:
        if not records.num_rows:
            return
        self._waiting.append(records)
        self.records += records.num_rows
        self._waiting_rows += records.num_rows
        self._waiting_bytes += records.nbytes
        if self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes >= self._row_group:
            self._write_group()

    def close(self) -> bytes:
        self._write_group()
        if self._writer:
            self._writer.close()
        return self._buffer.getvalue()

    def _write_group(self) -> None:
        if self._waiting:
            group = pa.concat_tables(self._waiting)
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._buffer, group.schema, compression=COMPRESSION)
            self._writer.write_table(group, row_group_size=group.num_rows)
            self._waiting = []
            self._waiting_rows = self._waiting_bytes = 0
