"""The records that the page shows in full: the lowest and highest scores, and some seeds through every evolver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ray_jobs.output.columns import HEADLINES
from ray_jobs.report.histogram import Floats
from ray_jobs.report.seeds import Slots

TEXTS = ("record_id", "round", "operator", "seed_instruction", "input", "instruction", "output")
SHOWN = (*TEXTS, *(measure.name for measure in HEADLINES))
EACH = 3
"""Examples of a tail."""
SAME_SEEDS, LOOKED_AT = 3, 24
Record = dict[str, Any]


@dataclass(frozen=True)
class Tail:
    """The `EACH` records of one evolver with the lowest or highest score, the most extreme first."""

    highest: bool
    found: Sequence[tuple[float, Record]] = ()

    def with_batch(self, batch: pa.RecordBatch, scores: Floats) -> Tail:
        """The tail with the batch's records taken into account; equal scores go by record id."""
        sign = -1.0 if self.highest else 1.0
        places = np.flatnonzero(np.isfinite(scores))
        if len(self.found) == EACH:
            places = places[sign * scores[places] <= sign * self.found[-1][0]]
        places = places[np.argsort(sign * scores[places], kind="stable")[: 4 * EACH]]
        if not len(places):
            return self
        records = batch.take(pa.array(places)).select(list(SHOWN)).to_pylist()
        both = [*self.found, *zip(scores[places].tolist(), records, strict=True)]
        return Tail(self.highest, sorted(both, key=lambda item: (sign * item[0], item[1]["record_id"]))[:EACH])


class SameSeeds:
    """Seeds with what each evolver made of them in its last kept round."""

    def __init__(self) -> None:
        self._found: dict[int, dict[str, Record]] = {}

    def add(self, batch: pa.RecordBatch, slots: Slots) -> None:
        """Take the kept records of the first sampled seeds in."""
        places = np.flatnonzero((slots >= 0) & (slots < LOOKED_AT))
        records = batch.take(pa.array(places)).select([*SHOWN, "evolver"]).to_pylist()
        for slot, record in zip(slots[places].tolist(), records, strict=True):
            of_seed = self._found.setdefault(int(slot), {})
            known = of_seed.get(record["evolver"])
            if known is None or (known["round"], known["record_id"]) < (record["round"], record["record_id"]):
                of_seed[record["evolver"]] = record

    def shown(self) -> list[dict[str, Record]]:
        """By evolver, the records of the seeds that most evolvers have."""
        best = sorted(self._found.items(), key=lambda item: (-len(item[1]), item[0]))
        return [records for _, records in best if len(records) > 1][:SAME_SEEDS]
