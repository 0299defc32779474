"""The section that sets selections beside each other, so that a score is seen against a random draw."""

from __future__ import annotations

import shlex

from ray_jobs.report.blocks import Block, Note, Section, Table
from ray_jobs.report.histogram import Histogram
from ray_jobs.report.measures import RECORD_MEASURES
from ray_jobs.report.view import NONE, View, count

_MEASURES = {record_measure.name: record_measure for record_measure in RECORD_MEASURES}


def selections_section(view: View) -> Section:
    """The mean of each measure in each selection, and in the whole output."""
    blocks: list[Block] = [_table(view)] if view.selections else []
    if not any("seed" in selection.rule for selection in view.selections):
        text = "No random draw is shown. What a score selects says something beside as many records drawn at random:"
        place = shlex.quote(view.place)
        blocks.append(
            Note(text, f"evolve select {place} RANDOM --random 25% && evolve report {place} --selection RANDOM")
        )
    return Section("selections", "Selections", blocks)


def _table(view: View) -> Table:
    whole = {name: Histogram(measure.scale) for name, measure in _MEASURES.items()}
    for (name, _, _), histogram in view.gathered.histograms.items():
        if name in whole:
            whole[name].merge(histogram)
    rows = [[view.place, "all kept records", count(view.gathered.kept()), *map(_mean, whole, whole.values())]]
    rows += [
        [
            selection.place,
            selection.words,
            count(selection.records),
            *map(_mean, selection.measures, selection.measures.values()),
        ]
        for selection in view.selections
    ]
    headings = ["dataset", "rule", "records", *(record_measure.label for record_measure in RECORD_MEASURES)]
    return Table("Means of what each selection keeps; a random draw is the baseline.", headings, rows, 2)


def _mean(name: str, histogram: Histogram) -> str:
    return _MEASURES[name].shown(histogram.mean) if histogram.n else NONE
