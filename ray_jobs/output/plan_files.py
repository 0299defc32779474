"""Reading the files of the plan, each with what tells whether it is what was written."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import DamagedOutput
from ray_jobs.output.checksums import checksum
from ray_jobs.output.plan_index import PlanFile
from ray_jobs.storage.store import Store


def read_plan_file(store: Store, file: PlanFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of one file of the plan, all columns or some. Raises DamagedOutput where it is not what was written."""
    data = store.read_bytes(file.path)
    if file.checksum and checksum(data) != file.checksum:
        raise damaged(store, file, "its checksum differs")
    try:
        return pq.read_table(pa.BufferReader(data), columns=None if columns is None else list(columns))
    except pa.ArrowException as error:
        raise damaged(store, file, str(error)) from None


def damaged(store: Store, file: PlanFile, why: str) -> DamagedOutput:
    """What a file of the plan is that is not what was written."""
    return DamagedOutput(
        f"{store.url_of(file.path)}: is not what was written ({why}); it plans rows {file.first:,} to "
        f"{file.end - 1:,}; put the file back, or see `evolve repair`"
    )
