"""An output as a program or a notebook reads it: records in batches, one by one or as a table, and the run's report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ray_jobs.datasets.source import Source, check_source, open_source, run_source
from ray_jobs.errors import OutputError
from ray_jobs.output import accept
from ray_jobs.output.file_names import REJECTED, REPORT, RUN
from ray_jobs.output.run_files import read_json
from ray_jobs.storage.store import Store, open_store


def open_output(place: str, storage: Mapping[str, Any] | None = None) -> Output:
    """The output of a run or a selection: a folder or any fsspec URL, with `storage` as options for its file system.

    Raises OutputError where there is neither.

        best = open_output("out/best")
        best.schema.names                        # docs/data.md describes the columns
        best.table(["evolver", "ic_ifd"])        # all records, for pandas: .to_pandas()
        for record in best.records(["instruction", "output"]):
            print(record["instruction"], record["output"])
    """
    store = open_store(place, storage or {})
    check_source(store)
    return Output(store)


@dataclass(frozen=True)
class Output:
    """What is committed when a method is called; the run may still be going on.

    Methods raise OutputError where nothing is committed yet, ConfigError for a column that is not there, and
    DamagedOutput where a file is not what was written.
    """

    store: Store

    @property
    def schema(self) -> pa.Schema:
        """The columns of the kept records."""
        return open_source(self.store).schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The kept records in bounded memory, at most 8192 at a time, all columns or these."""
        source = open_source(self.store)
        _require(source, columns)
        return source.batches(columns)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The kept records one by one, as dictionaries with all columns or these."""
        for batch in self.batches(columns):
            yield from batch.to_pylist()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The kept records in memory, all columns or these."""
        source = open_source(self.store)
        _require(source, columns)
        names = source.schema.names if columns is None else list(dict.fromkeys(columns))
        return pa.Table.from_batches(source.batches(columns), pa.schema([source.schema.field(name) for name in names]))

    def rejected(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rejected and failed records of a run one by one; a selection has none."""
        found = accept.load(self.store).manifest if self.store.exists(RUN) else None
        if source := found and run_source(self.store, found, REJECTED):
            _require(source, columns)
            for batch in source.batches(columns):
                yield from batch.to_pylist()

    @property
    def report(self) -> dict[str, Any]:
        """The content of a finished run's report.json. Raises OutputError where there is none."""
        if not self.store.exists(REPORT):
            raise OutputError(f"{self.store.url}: expected a finished run (with {REPORT})")
        return read_json(self.store, REPORT)


def _require(source: Source, columns: Sequence[str] | None) -> None:
    source.require(columns or (), "columns")
