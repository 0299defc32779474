"""What the page shows of several answers: the scores by which one was kept, how far they lie apart, and pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.datasets.outcomes import split
from ray_jobs.output.column import Scale, floats
from ray_jobs.report.histogram import Floats, Histogram
from ray_jobs.report.inputs import NOBODY
from ray_jobs.report.measures import MEASURES

SHOWN = ("chosen_by", "answer_score", "answer_spread", "answer_scores", "answer_index", "rejected_outputs")
"""The columns that it is made of."""
SHARES, CHARACTERS = Scale(0, 1, 400), Scale(0, 20_000, 4000)
SCALES: Mapping[str, Scale] = {
    **{name: MEASURES[name].scale for name in ("reward", "ic_ifd", "ifd")},
    "agreement": SHARES,
    "checker": SHARES,
    "length": CHARACTERS,
}
"""How scores are binned, by the rule that chose; records in which none did have no scores."""


@dataclass
class Chosen:
    """The kept records of an evolver in which one rule chose: scores of outputs and of other answers, and spreads."""

    rule: str
    outputs: Histogram = field(init=False)
    others: Histogram = field(init=False)
    records: int = 0
    spread: float = 0.0
    with_spread: int = 0

    def __post_init__(self) -> None:
        scale = SCALES.get(self.rule, SHARES)
        self.outputs, self.others = Histogram(scale), Histogram(scale)

    @property
    def mean_spread(self) -> float | None:
        """From the lowest to the highest score; None where no record has one."""
        return self.spread / self.with_spread if self.with_spread else None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take records in."""
        self.records += batch.num_rows
        self.outputs.add(floats(batch.column("answer_score")))
        self.others.add(_other_scores(batch))
        spreads = floats(batch.column("answer_spread"))
        self.spread += float(np.nansum(spreads))
        self.with_spread += int(np.isfinite(spreads).sum())


@dataclass
class Choices:
    """The choices and pairs of kept records, by evolver."""

    chosen: dict[tuple[str, str], Chosen] = field(default_factory=dict)
    pairs: Counter[str] = field(default_factory=Counter)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take kept records in."""
        for (evolver, rule), places in split(batch, ("evolver", "chosen_by")):
            of, some = str(evolver or NOBODY), batch.take(pa.array(places))
            self.pairs[of] += pc.sum(pc.list_value_length(some.column("rejected_outputs"))).as_py() or 0
            if rule is not None:
                self.chosen.setdefault((of, str(rule)), Chosen(str(rule))).add(some)

    @property
    def rules(self) -> Sequence[str]:
        """Those that chose."""
        return sorted({rule for _, rule in self.chosen})


def _other_scores(batch: pa.RecordBatch) -> Floats:
    """The scores of all answers but the outputs."""
    scores = batch.column("answer_scores")
    found: Floats = floats(pc.list_flatten(scores))
    starts = np.cumsum([0, *(pc.fill_null(pc.list_value_length(scores), 0).to_pylist())])[:-1]
    kept = batch.column("answer_index")
    there = kept.is_valid().to_numpy(zero_copy_only=False)
    found[starts[there] + kept.drop_null().to_numpy()] = np.nan
    return np.compress(np.isfinite(found), found)
