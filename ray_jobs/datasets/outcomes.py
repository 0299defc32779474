"""How each record of the source ends in a selection, and the counts of it by group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Group = tuple[str | int | None, ...]
"""The values of the grouping columns; empty where all records are one group."""
Places = npt.NDArray[np.intp]
Outcomes = npt.NDArray[np.uint8]
"""An Outcome a record."""


class Outcome(IntEnum):
    """Kept, or why not, in the order in which the reasons are looked at."""

    KEPT = 0
    NULL_SCORE = 1
    IFD_ABOVE_LIMIT = 2
    BELOW_CUT = 3
    OUTSIDE_RANGE = 4
    CONTAMINATED = 5
    NEAR_DUPLICATE = 6
    CUT_ANSWER = 7

    @property
    def label(self) -> str:
        """The name in reports."""
        return self.name.lower()


Counts = Counter[tuple[Group, Outcome]]


def split(batch: pa.RecordBatch, per: Sequence[str]) -> Iterator[tuple[Group, Places]]:
    """The groups of a batch by the values of the columns `per`, each with the places of its records, ascending."""
    codes = np.zeros(batch.num_rows, dtype=np.int64)
    for name in per:
        encoded = pc.dictionary_encode(batch.column(name), null_encoding="encode")
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    for number, place in enumerate(first.tolist()):
        yield tuple(batch.column(name)[place].as_py() for name in per), np.flatnonzero(inverse == number)


def count(batch: pa.RecordBatch, per: Sequence[str], outcomes: Outcomes) -> Counts:
    """How the records of a batch end, by group."""
    counts: Counts = Counter()
    for group, places in split(batch, per):
        for code, number in enumerate(np.bincount(outcomes[places]).tolist()):
            if number:
                counts[group, Outcome(code)] = number
    return counts
