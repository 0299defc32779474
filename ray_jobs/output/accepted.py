"""What counts in an output: its plan, its parts with each row in one of them, and the settings it was begun with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.errors import DamagedOutput, MissingFile
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.file_names import Tag
from ray_jobs.output.manifest import Entry, Manifest
from ray_jobs.output.part_files import count_piece, pieces
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.storage.store import Store

Ignored = Callable[[DamagedOutput | MissingFile], None] | None
"""Told of parts that are read over because they, or their entries, cannot be read."""


@dataclass(frozen=True)
class Accepted:
    """What counts: the plan, the parts, and the settings that the output was begun with; and what it was read from."""

    tag: Tag | None = None
    plan: PlanIndex | None = None
    parts: tuple[Entry, ...] = ()
    settings: dict[str, Any] | None = None

    @property
    def manifest(self) -> Manifest:
        """The parts as a manifest."""
        return Manifest(self.parts)

    @property
    def index(self) -> PlanIndex:
        """The plan; an empty one where nothing is planned."""
        return self.plan or PlanIndex()

    def to_json(self, tag: Tag) -> dict[str, Any]:
        """The seal of epoch `tag`, which accepts all this."""
        return {
            "token": tag.token,
            "plan": self.plan.to_json() if self.plan else None,
            "parts": [part.to_json() for part in self.parts],
            "settings": self.settings,
        }


def counted_once(store: Store, parts: Sequence[Entry], total: int, ignored: Ignored = None) -> tuple[Entry, ...]:
    """`parts` with each row left to the first that holds it; those of which nothing is left are not among them.

    A part that shares rows is read for that. Where its files are damaged or gone it is given to `ignored`, and its rows
    are left to others.
    """
    seen, result = np.zeros(total, dtype=np.bool_), list[Entry]()
    for part in parts:
        rows = part.rows
        if len(rows) and not 0 <= rows[0] <= rows[-1] < total:
            raise DamagedOutput(
                f"{store.url}: part {part.name} holds row {rows[-1]}, the plan has {total:,} rows; "
                "plan/ is not the plan that this part was made with"
            )
        new = rows[~seen[rows]]
        if not len(new):
            continue
        try:
            result.append(part if len(new) == len(rows) else _narrowed(store, part, new))
        except (DamagedOutput, MissingFile) as error:
            if ignored is None:
                raise
            ignored(error)
        else:
            seen[new] = True
    return tuple(result)


def _narrowed(store: Store, part: Entry, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Entry:
    """A part some of whose rows count elsewhere."""
    outcome_counts, wanted = OutcomeCounts(), pa.array(rows)
    for folder, records in pieces(store, part):
        outcome_counts.add(count_piece(folder, records.filter(pc.is_in(records["plan_row"], wanted))))
    outcome_counts.rows = len(rows)
    narrowed = Entry.of(part.name, part.files, rows, outcome_counts, schema=part.schema)
    return replace(narrowed, extra=part.extra + len(part.rows) - len(rows))
