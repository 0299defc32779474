"""What the page shows of kept records: the measures in the table of columns, by what they are read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evolve.confidence import BINS
from ray_jobs.output.column import Measure, Scale
from ray_jobs.output.columns import MEASURES as ALL

IC_IFD, TOP1 = "ic_ifd", "mean_top1_prob"
"""The score that the page leads with, and the one that has a section with a figure of its own."""
DISTANCE, REWARD = "neighbour_distance", "reward"

POSITIONS = ("top1_counts_first", "top1_counts_rest")
"""The columns that count positions of replies by top-1 probability: the first five, and the others."""
POSITION_SCALE = Scale(0, 1, BINS)

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in ALL}
LED: Sequence[Measure] = sorted(ALL, key=lambda measure: measure.name != IC_IFD)
"""All measures, with the paper's score first."""
RECORD_MEASURES: Sequence[Measure] = [measure for measure in ALL if not measure.analysis]
"""Those that the page reads in the records."""
ANALYSED_MEASURES: Sequence[Measure] = sorted(
    (measure for measure in ALL if measure.analysis), key=lambda measure: measure.kept != "absent"
)
"""Those that it reads in the tables that analyses leave; last those that records may have as well."""
COMPARED: Sequence[Measure] = [
    *(measure for measure in LED if measure.headline),
    *ANALYSED_MEASURES,
    *(measure for measure in RECORD_MEASURES if not measure.headline),
]
"""All, in the order in which evolvers are compared."""
