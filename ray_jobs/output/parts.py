"""Makes a part of finished records: its files, and the entry that names them.

Each write task commits its own part, so that a killed run keeps every part that was finished. A part's name is the
digest of its bytes: a task that runs again on the same rows writes the same files and finds its entry there. A task
that outlives its run's lease does no harm: its part is one of an epoch that has been sealed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.output.checksums import checksum
from ray_jobs.output.counts import count_records
from ray_jobs.output.file_names import DATA, REJECTED, Tag, part_paths
from ray_jobs.output.manifest import Entry, Part, Rows
from ray_jobs.output.part_files import WRITTEN_AS
from ray_jobs.output.schema import ROW_GROUP_ROWS
from ray_jobs.storage.store import Store


def write_part(store: Store, tag: Tag, kept: pa.Table, rejected: pa.Table, rows: Rows) -> Entry:
    """Stage the files of a part and return its entry, which the caller commits. Empty tables give no file."""
    tables = {folder: table for folder, table in ((DATA, kept), (REJECTED, rejected)) if table.num_rows}
    encoded = {folder: _encode(table) for folder, table in tables.items()}
    name = _name(encoded)
    paths, parts = part_paths(tag, name), []
    for folder, data in encoded.items():
        store.write_bytes(paths[folder], data)
        parts.append(Part(paths[folder], len(data), tables[folder].num_rows, checksum(data)))
    outcome_counts = count_records(kept, rejected)
    return Entry.of(name, parts, rows, outcome_counts, schema=schema_digest(kept.schema, rejected.schema))


def _name(files: Mapping[str, bytes]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for data in files.values():
        digest.update(data)
    return digest.hexdigest()


def schema_digest(*schemas: pa.Schema) -> str:
    """BLAKE2b-64 of the columns of a part's files, those of a file that it lacks included; metadata does not count."""
    columns = [[f"{field.name} {field.type} {field.nullable}" for field in schema] for schema in schemas]
    return hashlib.blake2b(json.dumps(columns).encode(), digest_size=8).hexdigest()


def _encode(table: pa.Table) -> bytes:
    buffer = BytesIO()
    pq.write_table(table, buffer, row_group_size=ROW_GROUP_ROWS, **WRITTEN_AS)
    return buffer.getvalue()
