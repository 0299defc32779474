"""What is asked of records often, apart from their texts: an index a file, mapped into memory, thrown away at will.

An index is named by the checksum of what it was made from, so it is never out of date. Its columns lie one after the
other, so a filter over ten million records reads the bytes of the columns that it names and holds none of them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ray_jobs.errors import DamagedOutput
from ray_jobs.output.manifest import Part
from ray_jobs.output.schema import KEPT
from ray_jobs.storage.store import Store

NUMBERS = ("ic_ifd", "ifd", "loss_q", "prompt_tokens", "completion_tokens")
"""The columns that records are sorted by and ranges are of, besides the instruction's length."""
LENGTH, CREATED = "instruction_characters", "created_at"
SORTS = (*NUMBERS, LENGTH, CREATED)
_READ = ("row_id", "plan_row", "evolver", "round", "status", "stage", "reason", "instruction", CREATED, *NUMBERS)
TEN_SECONDS = 10
_KEY_CHARACTERS = 8
_VERSION = "2"
Floats = npt.NDArray[np.float64]


def key_of(row_id: str) -> int:
    """A number of 64 bits that rows are looked up by: of the last characters, which differ in digests and in counts."""
    return int(np.frombuffer(row_id[-_KEY_CHARACTERS:].encode()[:8].ljust(8, b"\0"), "<u8")[0])


@dataclass(frozen=True)
class FileIndex:
    """The index of one file. `endings` are (status, stage, reason); `starts` the first record of each row group."""

    table: pa.Table
    evolvers: list[str]
    endings: list[tuple[str, str, str]]
    starts: npt.NDArray[np.int64]

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column as it lies in the file; NaN stands for null."""
        column = self.table[name]
        return column.chunk(0).to_numpy() if column.num_chunks else np.empty(0, column.type.to_pandas_dtype())

    @cached_property
    def rows(self) -> int:
        """How many records there are."""
        return int(self.table.num_rows)

    def group_of(self, position: int) -> tuple[int, int]:
        """The row group of a record and its place in it."""
        group = int(np.searchsorted(self.starts, position, side="right")) - 1
        return group, position - int(self.starts[group])


def read_index(path: Path) -> FileIndex:
    """An index that was made before."""
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    facts = json.loads(table.schema.metadata[b"facts"])
    return FileIndex(
        table, facts["evolvers"], [tuple(ending) for ending in facts["endings"]], np.array(facts["starts"])
    )


def index_of(store: Store, part: Part, folder: Path) -> FileIndex:
    """The index of a file of records, made where `folder` does not have it. Raises DamagedOutput."""
    path = folder / f"{part.checksum}-{_VERSION}.arrow"
    if not path.exists():
        table = _make(store, part)
        draft = folder / f".{uuid.uuid4().hex}"
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        draft.replace(path)
    return read_index(path)


def _make(store: Store, part: Part) -> pa.Table:
    evolvers, endings = dict[str, int](), dict[tuple[str, str, str], int]()
    pieces, starts, count = list[pa.RecordBatch](), list[int](), 0
    try:
        with store.open_input(part.path) as opened, pq.ParquetFile(opened) as file:
            names = [name for name in _READ if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                starts.append(count)
                table = file.read_row_group(group, columns=names)
                count += table.num_rows
                pieces.append(_piece(table, evolvers, endings))
    except pa.ArrowInvalid as error:
        raise DamagedOutput(f"{store.url_of(part.path)}: expected a Parquet file: {error}") from None
    facts = {"evolvers": list(evolvers), "endings": [list(item) for item in endings], "starts": starts}
    whole = pa.Table.from_batches(pieces, _SCHEMA).combine_chunks()
    return whole.replace_schema_metadata({"facts": json.dumps(facts)})


_SCHEMA = pa.schema(
    [
        ("evolver", pa.uint8()),
        ("round", pa.uint8()),
        ("ending", pa.uint16()),
        ("plan_row", pa.int64()),
        ("key", pa.uint64()),
        *((name, pa.float64()) for name in SORTS),
    ]
)


def _piece(table: pa.Table, evolvers: dict[str, int], endings: dict[tuple[str, str, str], int]) -> pa.RecordBatch:
    table = table.combine_chunks()
    kept = "status" not in table.column_names
    columns: dict[str, Any] = {
        "evolver": _codes(pc.fill_null(table["evolver"], ""), evolvers, 255),
        "round": pc.cast(table["round"], pa.uint8(), safe=False),
        "ending": np.full(table.num_rows, endings.setdefault((KEPT, "", ""), len(endings)), np.uint16)
        if kept
        else _endings(table, endings),
        "plan_row": table["plan_row"],
        "key": _keys(table["row_id"]),
        LENGTH: _floats(pc.utf8_length(table["instruction"])),
        CREATED: _floats(pc.cast(table[CREATED], pa.int64())) / 1e6,
        **{name: _floats(table[name]) if name in table.column_names else _nothing(table) for name in NUMBERS},
    }
    arrays = [_array(columns[field.name], field.type) for field in _SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return pa.array(values, kind) if isinstance(values, np.ndarray) else values.cast(kind)


def _nothing(table: pa.Table) -> Floats:
    return np.full(table.num_rows, np.nan)


def _floats(values: Any) -> Floats:
    return np.asarray(pc.cast(values, pa.float64()).to_numpy(), dtype=np.float64)


def _codes(values: Any, known: dict[Any, int], limit: int) -> npt.NDArray[Any]:
    """Each value's number among all that were seen; beyond `limit` all have the last number."""
    encoded = pc.dictionary_encode(values)
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    numbers = [min(known.setdefault(value, len(known)), limit) for value in encoded.dictionary.to_pylist()]
    codes: npt.NDArray[Any] = np.array(numbers or [0])[encoded.indices.to_numpy()]
    return codes


def _endings(table: pa.Table, endings: dict[tuple[str, str, str], int]) -> npt.NDArray[Any]:
    joined = pc.binary_join_element_wise(table["status"], table["stage"], table["reason"], "\n")
    found = dict[str, int]()
    codes = _codes(joined, found, 65535)
    places = []
    for text in found:
        status, stage, reason = text.split("\n", 2)
        places.append(endings.setdefault((status, stage, reason), len(endings)))
    numbers: npt.NDArray[Any] = np.array(places or [0])[codes]
    return numbers


def _keys(row_ids: Any) -> npt.NDArray[np.uint64]:
    ends = pc.utf8_slice_codeunits(row_ids, -_KEY_CHARACTERS, None)
    return np.array(ends.to_pylist(), dtype=f"S{_KEY_CHARACTERS}").view("<u8")


def tokens_by_time(index: FileIndex, mask: npt.NDArray[np.bool_] | None = None) -> Mapping[int, float]:
    """The tokens of the file's records by the ten seconds in which their rows were finished, in Unix time."""
    moments = index.column(CREATED)
    known = np.isfinite(moments)
    tokens = np.nan_to_num(index.column("prompt_tokens")) + np.nan_to_num(index.column("completion_tokens"))
    if mask is not None:
        known &= mask
    found, places = np.unique((moments[known] // TEN_SECONDS).astype(np.int64), return_inverse=True)
    return dict(
        zip((found * TEN_SECONDS).tolist(), np.bincount(places, tokens[known], len(found)).tolist(), strict=True)
    )
