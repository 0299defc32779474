"""What is measured of a kept record: how it is read, called and binned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from evolve.confidence import BINS
from ray_jobs.datasets.score_columns import floats, word_counts
from ray_jobs.report.histogram import Floats, Scale

IC_IFD, TOP1 = "ic_ifd", "mean_top1_prob"


@dataclass(frozen=True)
class Measure:
    """A number of a record. `unit` stands behind values in words ("" for a ratio), `decimals` are those shown."""

    name: str
    label: str
    unit: str
    scale: Scale
    decimals: int

    @property
    def axis(self) -> str:
        """The label with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def shown(self, value: float | None) -> str:
        """A value as text; a dash for none."""
        return "–" if value is None else f"{value:,.{self.decimals}f}"


@dataclass(frozen=True)
class RecordMeasure(Measure):
    """A measure that the data hold: `values` gives a float a record, NaN where it is undefined."""

    needs: str
    values: Callable[[pa.RecordBatch], Floats]


Reading = tuple[str, Callable[[pa.RecordBatch], Floats]]


def _number_of(column: str) -> Reading:
    return column, lambda batch: floats(batch.column(column))


def _words_of(column: str) -> Reading:
    return column, lambda batch: word_counts(batch.column(column))


POSITIONS = ("top1_counts_first", "top1_counts_rest")
"""The columns that count positions of replies by top-1 probability: the first five, and the others."""
POSITION_SCALE = Scale(0, 1, BINS)
WORDS = Scale(-0.5, 3999.5, 4000)
RECORD_MEASURES: Sequence[RecordMeasure] = (
    RecordMeasure("ifd", "IFD", "", Scale(0, 3, 1200), 3, *_number_of("ifd")),
    RecordMeasure(IC_IFD, "IC-IFD", "1/nat", Scale(0, 3, 1200), 3, *_number_of(IC_IFD)),
    RecordMeasure(TOP1, "top-1 probability", "", Scale(0, 1, 400), 3, *_number_of(TOP1)),
    RecordMeasure("instruction_words", "instruction length", "words", WORDS, 1, *_words_of("instruction")),
    RecordMeasure("output_words", "response length", "words", WORDS, 1, *_words_of("output")),
)
DIFFICULTY, DISTANCE, REWARD = "difficulty_score", "neighbour_distance", "reward"
ANALYSED_MEASURES: Sequence[Measure] = (
    Measure("difficulty_level", "difficulty level", "levels, 1 to 5", Scale(0.5, 5.5, 5), 2),
    Measure(DIFFICULTY, "difficulty score", "points of 100", Scale(-0.5, 100.5, 101), 1),
    Measure(DISTANCE, "neighbour distance", "squared L2", Scale(0, 2, 800), 3),
    Measure(REWARD, "reward", "logit", Scale(-50, 50, 2000), 2),
)
"""Columns of the tables that analyses leave, by which the page compares records."""
MEASURES: Mapping[str, Measure] = {
    record_measure.name: record_measure for record_measure in (*RECORD_MEASURES, *ANALYSED_MEASURES)
}
