"""Looks scores up that analyses have written beside the data: `analyses/NAME.parquet`, one line a record id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import DamagedOutput, OutputError
from ray_jobs.storage import Store
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


def columns(store: Store) -> dict[str, list[str]]:
    """The numeric columns of all analyses, each with the paths of the tables that have it."""
    found: dict[str, list[str]] = {}
    for path, _ in store.list(FOLDER):
        if path.endswith(".parquet"):
            with store.open_input(path) as opened:
                schema = pq.read_schema(opened)
            for field in schema:
                if is_number(field.type):
                    found.setdefault(field.name, []).append(path)
    return found


def is_number(kind: pa.DataType) -> bool:
    """Whether values of this type can rank records."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def load(store: Store, paths: list[str], column: str) -> Lookup:
    """Read a column. Raises OutputError where several tables have it, DamagedOutput where an id is there twice."""
    if len(paths) > 1:
        raise OutputError(f"{store.url}: the column {column} is in {' and in '.join(paths)}; expected it in one")
    with store.open_input(paths[0]) as opened:
        table = pq.read_table(opened, columns=[KEY, column]).drop_null()
    if not table.num_rows:
        raise OutputError(f"{store.url_of(paths[0])}: holds no value of {column}")
    ids = id_bytes(table[KEY].combine_chunks())
    order = np.argsort(ids)
    ids = ids[order]
    if (ids[1:] == ids[:-1]).any():
        raise DamagedOutput(f"{store.url_of(paths[0])}: expected each {KEY} once, found one twice")
    return Lookup(ids, table[column].to_numpy().astype(np.float64)[order])
