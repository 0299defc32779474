"""Looks scores up in tables beside the data that have one line a record id.

They are those of finished analyses, `analyses/NAME/data/*.parquet`, and a user's own, `analyses/NAME.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import DamagedOutput, OutputError
from ray_jobs.output.file_names import DATA, SUCCESS
from ray_jobs.storage.store import Store
from scoring.select import Scores

FOLDER = "analyses"
KEY = "record_id"


@dataclass(frozen=True)
class Lookup:
    """One numeric column by record id: about 45 bytes a record in memory."""

    ids: npt.NDArray[np.bytes_]
    scores: Scores

    def of(self, record_ids: pa.Array) -> Scores:
        """The value of each record, NaN where the analysis has none."""
        wanted = id_bytes(record_ids)
        place = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[place] == wanted, self.scores[place], np.nan)


def id_bytes(ids: pa.Array) -> npt.NDArray[np.bytes_]:
    """Record ids in UTF-8, as numpy sorts and compares them."""
    return np.array(ids.cast(pa.binary()).to_pylist(), dtype=np.bytes_)


Table = tuple[str, tuple[str, ...]]
"""Where a table lies, for messages, and the paths of its files."""


def columns(store: Store) -> dict[str, list[Table]]:
    """The numeric columns of all tables that have a line a record id, each with the tables that have it.

    Raises DamagedOutput.
    """
    found: dict[str, list[Table]] = {}
    for table in _tables(store):
        with _reading(store, table[1][0]) as opened:
            schema = pq.read_schema(opened)
        if KEY not in schema.names or not pa.types.is_string(schema.field(KEY).type):
            continue
        for field in schema:
            if is_number(field.type):
                found.setdefault(field.name, []).append(table)
    return found


@contextmanager
def _reading(store: Store, path: str) -> Iterator[BinaryIO]:
    try:
        with store.open_input(path) as opened:
            yield opened
    except pa.ArrowException as error:
        raise DamagedOutput(f"{store.url_of(path)}: cannot be read as Parquet: {error}") from None


def _tables(store: Store) -> list[Table]:
    listed = [path.split("/") for path, _ in store.list(FOLDER)]
    finished = {parts[1] for parts in listed if parts[2:] == [SUCCESS]}
    files: dict[str, list[str]] = {}
    for parts in listed:
        path = "/".join(parts)
        own = len(parts) == 2 and path.endswith(".parquet")
        if own or (parts[1] in finished and parts[2] == DATA):
            files.setdefault(path if own else f"{FOLDER}/{parts[1]}", []).append(path)
    return [(place, tuple(paths)) for place, paths in files.items()]


def is_number(kind: pa.DataType) -> bool:
    """Whether values of this type can rank records."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def load(store: Store, tables: list[Table], column: str) -> Lookup:
    """Read a column. Raises OutputError where several tables have it, DamagedOutput where an id is there twice."""
    if len(tables) > 1:
        places = " and in ".join(place for place, _ in tables)
        raise OutputError(f"{store.url}: the column {column} is in {places}; expected it in one")
    place, paths = tables[0]
    parts = []
    for path in paths:
        with _reading(store, path) as opened:
            parts.append(pq.read_table(opened, columns=[KEY, column]).drop_null())
    table = pa.concat_tables(parts)
    if not table.num_rows:
        raise OutputError(f"{store.url_of(place)}: holds no value of {column}")
    ids = id_bytes(table[KEY].combine_chunks())
    order = np.argsort(ids)
    ids = ids[order]
    if (ids[1:] == ids[:-1]).any():
        raise DamagedOutput(f"{store.url_of(place)}: expected each {KEY} once, found one twice")
    return Lookup(ids, table[column].to_numpy().astype(np.float64)[order])
