"""The section of the analyses that have no picture of their own: their summaries as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray_jobs.report.analysed import Analysis
from ray_jobs.report.blocks import Block, Note, Section, Table
from ray_jobs.report.view import NONE, OFFERED, View, round_title

BOUNDS = ("_low", "_high")
"""What is added to a field's name for the bounds of its interval."""


def analyses_section(view: View) -> Section:
    """What the finished analyses say in sum, and how to run those that there are not."""
    blocks: list[Block] = [_summary(view, analysis) for analysis in view.analyses.values() if analysis.entries]
    for name in OFFERED:
        if name not in view.analyses:
            blocks.append(Note(f"{name}: not analysed. To measure it, run", view.command(name)))
    return Section("analyses", "Analyses", blocks)


def _summary(view: View, analysis: Analysis) -> Table:
    plain = dict.fromkeys(name for entry in analysis.entries for name, value in entry.items() if _is_plain(value))
    fields = [name for name in plain if name not in ("evolver", "round") and not name.endswith(BOUNDS)]
    rows = [[*_who(view, entry), *(_cell(entry, name) for name in fields)] for entry in analysis.entries]
    headings = ["evolver", "round", *(name.replace("_", " ") for name in fields)]
    caption = f"{analysis.name}: analyses/{analysis.name}/summary.json, means and shares with their 95 % intervals."
    return Table(caption, headings, rows, 2)


def _who(view: View, entry: Mapping[str, Any]) -> tuple[str, str]:
    return view.title(entry["evolver"]) if entry["round"] else "seeds", round_title(entry["round"])


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _cell(entry: Mapping[str, Any], name: str) -> str:
    low, high = (entry.get(f"{name}{bound}") for bound in BOUNDS)
    value = _number(entry.get(name))
    return value if low is None or high is None else f"{value} ({_number(low)} to {_number(high)})"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return NONE if value is None else f"{value:,}" if isinstance(value, int) else str(value)
