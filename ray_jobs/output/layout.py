"""How finished rows become the records of an output: the step before a part is written, one kind a kind of output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.output.schema import flatten, split_outcomes


@dataclass(frozen=True)
class RunLabels:
    """Columns that the run gives: `constants` for all records, and the model of each evolver."""

    constants: Mapping[str, str | None]
    evolver_models: dict[str, str]


class Layout(ABC):
    """Rows have the column `plan_row`; so have the records, and `record_id`, `evolver` and `round` besides.

    Rejected and failed records also have `status`, `stage`, `reason` and `error`.
    """

    @abstractmethod
    def finished(self, rows: pa.Table) -> pa.Table:
        """The rows that have begun: those of a run that was stopped may come back as they were planned."""

    @abstractmethod
    def split(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The records of finished rows: those kept, and those rejected or failed."""


@dataclass(frozen=True)
class RoundsLayout(Layout):
    """Rows in ROW_SCHEMA, each a record a round. With `tell_rows` a record tells where its seed stood."""

    labels: RunLabels
    tell_rows: bool = False

    def finished(self, rows: pa.Table) -> pa.Table:
        """Rows with rounds."""
        return rows.filter(pc.is_valid(rows["rounds"]))

    def split(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Records in RECORD_SCHEMA and REJECTED_SCHEMA."""
        return split_outcomes(flatten(rows, self.labels.constants, self.labels.evolver_models, self.tell_rows))
