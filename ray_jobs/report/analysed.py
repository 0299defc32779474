"""Reads what `evolve analyse` has left beside the data: summaries, and the columns that the page compares.

docs/analyses.md says what a finished analysis is. Its table is read batch by batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.datasets.analyses import FOLDER, KEY
from ray_jobs.datasets.outcomes import split
from ray_jobs.errors import DamagedOutput
from ray_jobs.output.column import Measure
from ray_jobs.output.file_names import SUCCESS
from ray_jobs.report.gather import Gathered
from ray_jobs.report.histogram import Histogram
from ray_jobs.report.inputs import NOBODY
from ray_jobs.report.measures import ANALYSED_MEASURES
from ray_jobs.storage.store import Store

SUMMARY, TABLE = "summary.json", "data"
_BATCH_ROWS = 8192
_GROUP = ("evolver", "round")
COLUMNS: Mapping[str, Measure] = {measure.analysis: measure for measure in ANALYSED_MEASURES}
"""What the page reads of the table of an analysis."""


@dataclass(frozen=True)
class Analysis:
    """A finished analysis: its name and the entries of its summary, seeds as evolver "" and round 0."""

    name: str
    entries: Sequence[Mapping[str, Any]]

    def entry(self, evolver: str, number: int) -> Mapping[str, Any] | None:
        """The entry of an evolver and round, if there is one."""
        found = [entry for entry in self.entries if (entry["evolver"], entry["round"]) == (evolver, number)]
        return found[0] if found else None


def read_analyses(store: Store, gathered: Gathered) -> dict[str, Analysis]:
    """The finished analyses by name. What their tables hold of the page's measures is added to `gathered`.

    Raises DamagedOutput where a file is not what it should be.
    """
    paths = [path for path, _ in store.list(FOLDER)]
    names = [path.split("/")[1] for path in paths if path.count("/") == 2 and path.endswith(f"/{SUCCESS}")]
    for name in names:
        for path in paths if name in COLUMNS else ():
            if path.startswith(f"{FOLDER}/{name}/{TABLE}/") and path.endswith(".parquet"):
                _add(gathered, COLUMNS[name], _batches(store, path, COLUMNS[name].name))
    return {name: Analysis(name, _entries(store, f"{FOLDER}/{name}/{SUMMARY}")) for name in names}


def _add(gathered: Gathered, measure: Measure, batches: Iterator[pa.RecordBatch]) -> None:
    for batch in batches:
        values = measure.values(batch)
        for (evolver, number), places in split(batch, _GROUP):
            key = (measure.name, str(evolver or NOBODY), int(number or 0))
            gathered.histograms.setdefault(key, Histogram(measure.scale)).add(values[places])
        if gathered.sums:
            gathered.sums.add_by_record(measure.name, batch.column(KEY), values)


def _batches(store: Store, path: str, column: str) -> Iterator[pa.RecordBatch]:
    wanted = [KEY, *_GROUP, column]
    try:
        with store.open_input(path) as opened, pq.ParquetFile(opened) as file:
            if missing := [name for name in wanted if name not in file.schema_arrow.names]:
                raise DamagedOutput(f"{store.url_of(path)}: expected the column {missing[0]}")
            yield from file.iter_batches(_BATCH_ROWS, columns=wanted)
    except pa.ArrowInvalid as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected a Parquet file: {error}") from None


def _entries(store: Store, path: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(store.read_bytes(path))
        return [{**entry, "evolver": entry["evolver"] or NOBODY, "round": int(entry["round"])} for entry in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected a list with an entry for each round ({error})") from None
