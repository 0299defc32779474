"""What becomes of planned rows whose seed is gone: taken away, corrected, or beyond a smaller limit.

A dataset in which some records come from seeds that are no more is mixed, which nobody sees afterwards. So they are
named, and somebody says whether they stay or are retracted. A line that could not be read stands for nothing: where it
is gone, most likely corrected, its row is retracted unasked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.errors import SeedsChanged
from ray_jobs.output.manifest import Rows
from ray_jobs.output.plan_files import read_plan_file
from ray_jobs.output.plan_index import UNREADABLE, PlanFile, PlanIndex
from ray_jobs.seeds.idset import IdSet
from ray_jobs.storage.store import Store

OnGone = Literal["refuse", "keep", "retract"]
SHOWN, SHOWN_CHARACTERS = 3, 60


@dataclass
class Gone:
    """Rows of the plan whose seed is gone, and some of the seeds' texts."""

    rows: list[Rows] = field(default_factory=list)
    seed_ids: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    unreadable: list[Rows] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def take(self, file: PlanFile, rows: pa.Table) -> None:
        """Take in rows of a file."""
        numbers = rows["plan_row"].to_numpy()
        if file.evolver == UNREADABLE:
            self.unreadable.append(numbers)
            self.reasons.update(rows["seed_reason"].to_pylist())
            return
        self.rows.append(numbers)
        self.seed_ids.update(rows["seed_id"].unique().to_pylist())
        if len(self.texts) < SHOWN:
            told = (str(text).strip()[:SHOWN_CHARACTERS] for text in rows["seed_instruction"].unique().to_pylist())
            self.texts = list(dict.fromkeys([*self.texts, *told]))[:SHOWN]


def settle_gone(store: Store, index: PlanIndex, files: Sequence[PlanFile], seen: IdSet, on_gone: OnGone) -> None:
    """Retract rows of `files`, or leave them, whose seeds are not among those that were `seen`.

    Raises SeedsChanged where somebody has to say which.
    """
    gone = _gone(store, index, files, seen)
    if gone.seed_ids and on_gone == "refuse":
        raise SeedsChanged(_question(store, gone))
    if on_gone == "keep":
        return
    retracted = [*gone.rows, *gone.unreadable]
    if not retracted:
        return
    index.retract(np.concatenate(retracted))
    index.gone_seeds += len(gone.seed_ids)
    index.unreadable = index.unreadable - gone.reasons


def _gone(store: Store, index: PlanIndex, files: Sequence[PlanFile], seen: IdSet) -> Gone:
    gone, retracted = Gone(), pa.array(index.retracted)
    for file in files:
        rows = read_plan_file(store, file, ["plan_row", "seed_id", "seed_instruction", "seed_reason"])
        rows = rows.filter(pc.invert(pc.is_in(rows["plan_row"], retracted)))
        there = seen.holds([bytes.fromhex(seed_id) for seed_id in rows["seed_id"].to_pylist()])
        if not there.all():
            gone.take(file, rows.filter(pa.array(~there)))
    return gone


def _question(store: Store, gone: Gone) -> str:
    count, rows = len(gone.seed_ids), sum(map(len, gone.rows))
    texts = "".join(f"\n  {text!r}" for text in gone.texts)
    more = f"\n  and {count - len(gone.texts):,} more" if count > len(gone.texts) else ""
    return (
        f"{store.url}: {count:,} seeds of which {rows:,} rows were planned are not among the seeds any more, removed, "
        f"corrected, or beyond seeds.limit:{texts}{more}\n"
        "say what becomes of these rows: --set seeds.gone=keep, or --set seeds.gone=retract, which takes their "
        "records out of the dataset; or use another output"
    )
