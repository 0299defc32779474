"""Writes a stream of records as files of a useful size, each whole or not at all."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.output.checksums import checksum
from ray_jobs.output.manifest import Part
from ray_jobs.output.schema import ROW_GROUP_ROWS
from ray_jobs.storage.store import Store

SHARD_BYTES = 128 << 20
GROUP_BYTES = 32 << 20  # of Arrow memory; bounds a row group of long texts


class Shards(ABC):
    """Collects records and writes `FOLDER/00000.SUFFIX`, `00001`, … of about `shard_bytes` each; the last has the rest.

    Memory is one shard as it will lie on storage, and one row group.
    """

    suffix: str

    def __init__(self, store: Store, folder: str, schema: pa.Schema, shard_bytes: int = SHARD_BYTES) -> None:
        self.parts: list[Part] = []
        self._store, self._folder, self._schema, self._shard_bytes = store, folder, schema, shard_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._buffer, self._records = BytesIO(), 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take records in."""
        if batch.num_rows:
            self._waiting.append(batch)
        rows, size = sum(item.num_rows for item in self._waiting), sum(item.nbytes for item in self._waiting)
        if rows >= ROW_GROUP_ROWS or size >= GROUP_BYTES:
            self._encode_waiting()
            if self._buffer.tell() >= self._shard_bytes:
                self._write()

    def close(self) -> None:
        """Write what is left."""
        if self._waiting:
            self._encode_waiting()
        if self._records:
            self._write()

    @property
    def records(self) -> int:
        """How many records have been written."""
        return sum(part.records for part in self.parts)

    def _encode_waiting(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting = []
        self._encode(table)
        self._records += table.num_rows

    def _write(self) -> None:
        self._finish()
        data, path = self._buffer.getvalue(), f"{self._folder}/{len(self.parts):05d}.{self.suffix}"
        self._store.write_bytes(path, data)
        self.parts.append(Part(path, len(data), self._records, checksum(data)))
        self._buffer, self._records = BytesIO(), 0

    @abstractmethod
    def _encode(self, table: pa.Table) -> None:
        """Append records to the buffer."""

    @abstractmethod
    def _finish(self) -> None:
        """Append what a file ends with to the buffer."""


class ParquetShards(Shards):
    """Parquet with zstd, a row group each 10,000 records."""

    suffix = "parquet"
    _writer: pq.ParquetWriter | None = None

    def _encode(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._buffer, self._schema, compression="zstd")
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def _finish(self) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer = None


class JsonlShards(Shards):
    """One JSON object a line, in UTF-8."""

    suffix = "jsonl"

    def _encode(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            self._buffer.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def _finish(self) -> None:
        """A line needs no more than its end."""
