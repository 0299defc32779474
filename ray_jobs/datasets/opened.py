"""An output as a program or a notebook reads it: records in batches, one by one or as a table, and the run's report."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from evolve.masking import mask_url
from ray_jobs.datasets.shown import Records
from ray_jobs.datasets.source import Source, check_source, open_source, run_source
from ray_jobs.errors import ConfigError, JobError, OutputError
from ray_jobs.output import accept
from ray_jobs.output.file_names import REJECTED, REPORT, RUN
from ray_jobs.output.printable import printable
from ray_jobs.output.run_files import read_json
from ray_jobs.storage.store import Store, open_store

if TYPE_CHECKING:
    import pandas
    import polars

SHOWN = 3
"""How many records an output shows of itself."""


def open_output(place: str, storage: Mapping[str, Any] | None = None) -> Output:
    """The output of a run or a selection: a folder or any fsspec URL, with `storage` as options for its file system.

    Raises OutputError where there is neither.

    >>> output = open_output("out/first")
    >>> output  # doctest: +ELLIPSIS
    Output('...out/first')
    >>> output.schema.names[:3]                   # docs/data.md describes the columns
    ['record_id', 'row_id', 'seed_id']
    """
    store = open_store(place, storage or {})
    check_source(store)
    return Output(store)


@dataclass(frozen=True)
class Output:
    """What is committed when a method is called; the run may still be going on. A notebook shows its first records.

    Methods raise OutputError where nothing is committed yet, ConfigError for a column that is not there, and
    DamagedOutput where a file is not what was written.
    """

    store: Store

    def __repr__(self) -> str:
        return f"Output({self._place!r})"

    @property
    def _place(self) -> str:
        return printable(mask_url(self.store.url))

    def _repr_html_(self) -> str:
        """The place, the number of its records and the first of them; why they cannot be read, where they cannot."""
        try:
            source = open_source(self.store)
            head = self.head(SHOWN)
        except JobError as error:
            return f"<p>{html.escape(printable(str(error)))}</p>"
        count = f"{source.origin['records']:,} kept records"
        unfinished = "" if source.origin["finished"] else ", the run is not finished"
        return f"<p><b>{html.escape(self._place)}</b>: {count}{unfinished}</p>{head._repr_html_()}"

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
        """The kept records one by one, as dictionaries with all columns or these.

        >>> for record in open_output("out/first").records(["round", "ic_ifd"]):
        ...     assert sorted(record) == ["ic_ifd", "round"]
        """
        for batch in self.batches(columns):
            yield from batch.to_pylist()

    def head(self, count: int = 5, columns: Sequence[str] | None = None) -> Records:
        """The first `count` kept records, which a notebook shows one below the other.

        >>> first = open_output("out/first").head(2, ["evolver", "round", "instruction"])
        >>> len(first), sorted(first[0])
        (2, ['evolver', 'instruction', 'round'])
        """
        return Records(tuple(islice(self.records(columns), count)))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The kept records in memory as an Arrow table, all columns or these.

        >>> open_output("out/first").table(["evolver", "ic_ifd"]).column_names
        ['evolver', 'ic_ifd']
        """
        source = open_source(self.store)
        _require(source, columns)
        names = source.schema.names if columns is None else list(dict.fromkeys(columns))
        return pa.Table.from_batches(source.batches(columns), pa.schema([source.schema.field(name) for name in names]))

    def pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """The kept records as a pandas frame. Raises ConfigError where pandas is not installed.

        >>> frame = open_output("out/first").pandas(["evolver", "round"])
        >>> list(frame.columns), len(frame) > 0
        (['evolver', 'round'], True)
        """
        _require_package("pandas")
        return self.table(columns).to_pandas()

    def polars(self, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """The kept records as a polars frame. Raises ConfigError where polars is not installed.

        >>> open_output("out/first").polars(["evolver", "round"]).columns
        ['evolver', 'round']
        """
        package = _require_package("polars")
        return cast("polars.DataFrame", package.from_arrow(self.table(columns)))

    def rejected(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rejected and failed records of a run one by one; a selection has none.

        >>> {record["status"] for record in open_output("out/first").rejected(["status"])} <= {"rejected", "failed"}
        True
        """
        found = accept.load(self.store).manifest if self.store.exists(RUN) else None
        if source := found and run_source(self.store, found, REJECTED):
            _require(source, columns)
            for batch in source.batches(columns):
                yield from batch.to_pylist()

    @property
    def report(self) -> dict[str, Any]:
        """The content of a finished run's report.json. Raises OutputError where there is none.

        >>> sorted(open_output("out/first").report["records"])
        ['failed', 'kept', 'planned', 'rejected']
        """
        if not self.store.exists(REPORT):
            raise OutputError(f"{self.store.url}: expected a finished run (with {REPORT})")
        return read_json(self.store, REPORT)


def _require_package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(f"{name} is not installed: `pip install {name}`, or take .table(), which is Arrow") from None


def _require(source: Source, columns: Sequence[str] | None) -> None:
    source.require(columns or (), "columns")
