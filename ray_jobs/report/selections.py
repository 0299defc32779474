"""The section that sets selections beside each other, so that a score is seen against a random draw."""

from __future__ import annotations

import shlex

from ray_jobs.report.blocks import Block, Note, Section, Table
from ray_jobs.report.histogram import Histogram
from ray_jobs.report.measures import RECORD_MEASURES
from ray_jobs.report.view import NONE, View, count

_MEASURES = {one.name: one for one in RECORD_MEASURES}


def selections_section(view: View) -> Section:
    """The mean of each measure in each selection, and in the whole output."""
    blocks: list[Block] = [_table(view)] if view.selections else []
    if not any("seed" in one.rule for one in view.selections):
        text = "No random draw is shown. What a score selects says something beside as many records drawn at random:"
        place = shlex.quote(view.place)
        blocks.append(
            Note(text, f"evolve select {place} RANDOM --random 25% && evolve report {place} --selection RANDOM")
        )
    return Section("selections", "Selections", blocks)


def _table(view: View) -> Table:
    whole = {name: Histogram(one.scale) for name, one in _MEASURES.items()}
    for (name, _, _), one in view.gathered.histograms.items():
        if name in whole:
            whole[name].merge(one)
    rows = [[view.place, "all kept records", count(view.gathered.kept()), *map(_mean, whole, whole.values())]]
    rows += [
        [one.place, one.words, count(one.records), *map(_mean, one.measures, one.measures.values())]
        for one in view.selections
    ]
    headings = ["dataset", "rule", "records", *(one.label for one in RECORD_MEASURES)]
    return Table("Means of what each selection keeps; a random draw is the baseline.", headings, rows, 2)


def _mean(name: str, histogram: Histogram) -> str:
    return _MEASURES[name].shown(histogram.mean) if histogram.n else NONE
