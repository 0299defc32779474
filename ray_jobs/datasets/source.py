"""The records that a selection or an export starts from: a run's output, or an earlier selection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import ConfigError, DamagedOutput, OutputError
from ray_jobs.output import accept
from ray_jobs.output.checksums import new_checksum
from ray_jobs.output.file_names import DATA, RUN, SUCCESS
from ray_jobs.output.languages import languages_of
from ray_jobs.output.manifest import Manifest, Part
from ray_jobs.output.part_files import check_part
from ray_jobs.output.run_files import read_json
from ray_jobs.storage.store import Store

SELECTION = "selection.json"
BATCH_ROWS = 8192


@dataclass(frozen=True)
class Source:
    """The parts of a dataset and where they come from.

    `origin` is what a reader needs to know the source again: its kind, run id, fingerprint (BLAKE2b-128 over the
    paths and checksums of its parts, in order) and records; it names no place, so that a copy has the same.
    """

    store: Store
    parts: Sequence[Part]
    schema: pa.Schema
    origin: dict[str, Any]
    _checked: set[str] = field(default_factory=set, repr=False, compare=False)
    """The parts that were found to be what was written, each looked at when it is first read."""

    def require(self, columns: Iterable[str], what: str) -> None:
        """Raise ConfigError, which begins with `what`, where the dataset lacks one of the columns."""
        missing = [name for name in dict.fromkeys(columns) if name not in self.schema.names]
        if missing:
            raise ConfigError(f"{what}: {self.store.url} lacks the columns {', '.join(missing)}")

    def languages(self) -> list[str]:
        """The languages of the first records."""
        batch = next(self.batches(["instruction"]), None)
        return languages_of(text for text in batch.column("instruction").to_pylist() if text) if batch else []

    def tell_unfinished(self, say: Callable[[str], None]) -> None:
        """Say so where the run that the records come from was not finished."""
        if not self.origin["finished"]:
            say(f"{self.store.url}: the run is not finished; this is what is committed of it so far")

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The records part by part, in the order of the parts' paths, at most 8192 at a time; all columns, or these.

        Columns that a part was written without are null in it. Raises DamagedOutput where a part is not what was
        written or has other columns than `schema`.
        """
        for part in self.parts:
            if part.path not in self._checked:
                check_part(self.store, part)
                self._checked.add(part.path)
            yield from self._read(part.path, columns)

    def _read(self, path: str, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        names = self.schema.names if columns is None else list(dict.fromkeys(columns))
        wanted = pa.schema([self.schema.field(name) for name in names if name in self.schema.names])
        try:
            with self.store.open_input(path) as opened, pq.ParquetFile(opened) as file:
                own = file.schema_arrow
                if not all(
                    column.name in self.schema.names and self.schema.field(column.name) == column for column in own
                ):
                    raise DamagedOutput(f"{self.store.url_of(path)}: expected the columns of the first part")
                there = [name for name in wanted.names if name in own.names]
                for batch in file.iter_batches(BATCH_ROWS, columns=there):
                    yield _filled(batch, wanted)
        except pa.ArrowInvalid as error:
            raise DamagedOutput(f"{self.store.url_of(path)}: expected a Parquet file: {error}") from None


def _filled(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    columns = [
        batch.column(field.name) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in wanted
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def open_source(store: Store) -> Source:
    """The committed records of a run, or those of a selection.

    A run need not be finished. Raises OutputError where the folder is neither, holds no record, or holds some twice,
    which a run that was cut short may until it goes on; DamagedOutput where its files are not what they should be.
    """
    if store.exists(SELECTION):
        return _selection(store)
    if store.exists(RUN):
        if source := run_source(store, accept.load(store).manifest, DATA):
            return source
        raise OutputError(f"{store.url}: holds no record yet")
    raise _no_source(store)


def check_source(store: Store) -> None:
    """Refuse a folder that is neither, without a look at its records. Raises OutputError."""
    if not (store.exists(SELECTION) or store.exists(RUN)):
        raise _no_source(store)


def _no_source(store: Store) -> OutputError:
    return OutputError(f"{store.url}: expected the output of a run (with {RUN}) or of a selection (with {SELECTION})")


def run_source(store: Store, found: Manifest, folder: str) -> Source | None:
    """The committed records in one folder of a run, `data` or `rejected`; None where there is none.

    Raises as `open_source` does.
    """
    parts = [part for entry in found.entries for part in entry.files if part.folder == folder]
    if any(entry.extra for entry in found.entries):
        raise OutputError(f"{store.url}: rows are in two parts since the run was cut short; `evolve run` mends that")
    if not parts:
        return None
    run_id = read_json(store, RUN).get("run_id")
    # a run that went on under a later version has parts with more columns
    kinds = {
        entry.schema: part.path
        for entry in sorted(found.entries, key=lambda entry: entry.name, reverse=True)
        for part in entry.files
        if part.folder == folder
    }
    origin = {"kind": "run", "run_id": run_id, "finished": store.exists(SUCCESS)}
    return _source(store, parts, origin, list(kinds.values()))


def _selection(store: Store) -> Source:
    content = read_json(store, SELECTION)
    try:
        parts = [Part(**part) for part in content["files"]]
        origin = {"kind": "selection", "run_id": content["source"]["run_id"], "finished": content["source"]["finished"]}
    except (KeyError, TypeError) as error:
        raise DamagedOutput(f"{store.url_of(SELECTION)}: expected what `evolve select` writes ({error})") from None
    return _source(store, parts, origin)


def _source(store: Store, parts: Sequence[Part], origin: dict[str, Any], kinds: Sequence[str] = ()) -> Source:
    """A source of `parts`. `kinds` are the paths of some that between them have all columns; the first by default."""
    ordered = sorted(parts, key=lambda part: part.path)
    if not ordered:
        raise OutputError(f"{store.url}: holds no record yet")
    digest = new_checksum()
    for part in ordered:
        digest.update(f"{part.path} {part.checksum}\n".encode())
    facts = {"fingerprint": digest.hexdigest(), "records": sum(part.records for part in ordered)}
    schemas = [_schema(store, path) for path in kinds or [ordered[0].path]]
    # of two versions the one with more columns has them in the order of today
    schemas.sort(key=len, reverse=True)
    try:
        return Source(store, ordered, pa.unify_schemas(schemas), {**origin, **facts})
    except pa.ArrowInvalid as error:
        raise DamagedOutput(f"{store.url}: its parts have columns of different types: {error}") from None


def _schema(store: Store, path: str) -> pa.Schema:
    try:
        with store.open_input(path) as opened:
            return pq.read_schema(opened)
    except pa.ArrowInvalid as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected a Parquet file: {error}") from None
