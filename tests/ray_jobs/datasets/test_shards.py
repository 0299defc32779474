"""Files of the size asked for, with every record once and in order."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.datasets.shards import JsonlShards, ParquetShards, Shards
from ray_jobs.output.checksums import checksum
from ray_jobs.storage.store import Store, open_store

SCHEMA = pa.schema([pa.field("text", pa.string()), pa.field("turns", pa.list_(pa.string()))])


def written(store: Store, kind: type[Shards], rows: int, batch: int, width: int) -> Shards:
    """`rows` records, each with a text of `width` characters that no other has, in batches."""
    shards = kind(store, "data", SCHEMA, shard_bytes=300_000)
    for start in range(0, rows, batch):
        texts = [f"{number:0{width}d} ü\u2028" for number in range(start, min(rows, start + batch))]
        shards.add(pa.record_batch([texts, [[text] for text in texts]], schema=SCHEMA))
        shards.add(pa.record_batch([[], []], schema=SCHEMA))
    shards.close()
    return shards


def texts_of(store: Store, path: str) -> list[str]:
    """The texts of one file."""
    data = store.read_bytes(path)
    if path.endswith(".parquet"):
        texts: list[str] = pq.read_table(pa.BufferReader(data))["text"].to_pylist()
        return texts
    return [json.loads(line)["text"] for line in data.decode().split("\n")[:-1]]


@pytest.mark.parametrize("kind", [ParquetShards, JsonlShards])
@pytest.mark.parametrize(("rows", "batch", "width"), [(45_000, 8192, 16), (1, 1, 5), (10_000, 10_000, 8), (0, 1, 1)])
def test_shards_hold_every_record_once_in_order(
    tmp_path: Path, kind: type[Shards], rows: int, batch: int, width: int
) -> None:
    store = open_store(str(tmp_path))
    shards = written(store, kind, rows, batch, width)
    assert [part.path for part in shards.parts] == [path for path, _ in store.list()]
    texts = [texts_of(store, part.path) for part in shards.parts]
    assert [len(text) for text in texts] == [part.records for part in shards.parts]
    assert [text for item in texts for text in item] == [f"{number:0{width}d} ü\u2028" for number in range(rows)]
    assert shards.records == rows
    for part in shards.parts:
        data = store.read_bytes(part.path)
        assert (part.bytes, part.checksum) == (len(data), checksum(data))
    if rows > 40_000 and kind is JsonlShards:
        assert len(shards.parts) == 3
        assert all(part.bytes >= 300_000 for part in shards.parts[:-1])


def test_long_texts_make_smaller_row_groups(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    shards = ParquetShards(store, "data", SCHEMA)
    for _ in range(4):
        shards.add(pa.record_batch([["x" * (1 << 20)] * 20, [[]] * 20], schema=SCHEMA))
    shards.close()
    assert pq.ParquetFile(tmp_path / "data/00000.parquet").num_row_groups == 2
