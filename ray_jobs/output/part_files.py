"""The files of a part, a piece at a time: no step holds more of them than their compressed bytes and one piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ray_jobs.errors import DamagedOutput, MissingFile
from ray_jobs.output.checksums import checksum, new_checksum
from ray_jobs.output.counts import OutcomeCounts, count_records
from ray_jobs.output.file_names import DATA, REJECTED
from ray_jobs.output.manifest import Entry, Part
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA, ROW_GROUP_ROWS
from ray_jobs.storage.store import Store

# not `empty_table`, which makes arrays, and for its first array pyarrow loads pandas
NOTHING = {
    name: pa.Table.from_batches([], schema) for name, schema in ((DATA, RECORD_SCHEMA), (REJECTED, REJECTED_SCHEMA))
}
"""No records: of any layout, for they count as none."""
WRITTEN_AS = {"compression": "zstd", "write_page_checksum": True}
"""How files of records are encoded: with a checksum a page, so that a reader of some columns sees what is damaged."""
PIECE_ROWS = 4096
CHECKED_BYTES = 8 << 20
ROW_GROUP_BYTES = 64 << 20


def read_part(store: Store, part: Part) -> bytes:
    """A file of a part, whole. Raises DamagedOutput where it is not what was written, and MissingFile."""
    data = store.read_bytes(part.path)
    if checksum(data) != part.checksum:
        raise _damaged(store, part)
    return data


def check_part(store: Store, part: Part) -> None:
    """Read a file of a part, a piece in memory at a time, and raise as `read_part` does."""
    found = new_checksum()
    with store.open_input(part.path) as opened:
        while data := opened.read(CHECKED_BYTES):
            found.update(data)
    if found.hexdigest() != part.checksum:
        raise _damaged(store, part)


def _damaged(store: Store, part: Part) -> DamagedOutput:
    return DamagedOutput(
        f"{store.url_of(part.path)}: is not what was written, its checksum differs; `evolve repair` takes it out, "
        "and the next `evolve run` makes its rows again"
    )


def pieces(store: Store, entry: Entry) -> Iterator[tuple[str, pa.Table]]:
    """The records of a part that count, at most PIECE_ROWS at a time, each with its folder: kept ones, then the others.

    Raises as `read_part` does.
    """
    for part in entry.files:
        for table in counted_pieces(entry, read_part(store, part)):
            yield part.folder, table


def counted_pieces(entry: Entry, content: bytes) -> Iterator[pa.Table]:
    """The records in one file of a part, given whole, without those of rows that count in another part."""
    wanted = pa.array(entry.rows) if entry.extra else None
    for table in read_pieces(pa.BufferReader(content)):
        yield table if wanted is None else table.filter(pc.is_in(table["plan_row"], wanted))


def read_pieces(opened: Any) -> Iterator[pa.Table]:
    """The records of one file, open or in an Arrow buffer's reader, at most PIECE_ROWS at a time."""
    with pq.ParquetFile(opened) as file:
        for batch in file.iter_batches(PIECE_ROWS):
            yield pa.Table.from_batches([batch]).replace_schema_metadata()


def count_piece(folder: str, records: pa.Table) -> OutcomeCounts:
    """Count records of the file in `folder`."""
    return count_records(*(records if item == folder else nothing for item, nothing in NOTHING.items()))


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

    def finish(self) -> dict[str, tuple[bytes, int]]:
        """The encoded files by folder, each with its number of records; a folder without records has none."""
        return {folder: (file.close(), file.records) for folder, file in self._files.items() if file.records}


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
                self._writer = pq.ParquetWriter(self._buffer, group.schema, **WRITTEN_AS)
            self._writer.write_table(group, row_group_size=group.num_rows)
            self._waiting = []
            self._waiting_rows = self._waiting_bytes = 0


def some_texts(store: Store, wanted: int = 500) -> list[str]:
    """The instructions of some kept records that plain readers see: the first of the first file."""
    for path, _ in store.list(DATA):
        # a run that has taken over may have joined it
        with suppress(pa.ArrowException, MissingFile), store.open_input(path) as opened:
            batch = next(pq.ParquetFile(opened).iter_batches(wanted, columns=["instruction"]), None)
            if batch is not None:
                return [text for text in batch.column("instruction").to_pylist() if text]
    return []
