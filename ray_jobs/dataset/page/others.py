"""The section of the analyses that have no picture of their own: their summaries as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray_jobs.dataset.page.analysed import Analysis
from ray_jobs.dataset.page.blocks import Block, Note, Section, Table
from ray_jobs.dataset.page.view import NONE, View, round_title

OFFERED = ("difficulty", "difficulty_score", "diversity", "trajectories", "top1", "win")
"""The analyses that `evolve analyse` offers."""


def analyses_section(view: View) -> Section:
    """What the finished analyses say in sum, and how to run those that there are not."""
    blocks: list[Block] = [_summary(view, one) for one in view.analyses.values() if one.entries]
    for name in OFFERED:
        if name not in view.analyses:
            blocks.append(Note(f"{name}: not analysed. To measure it, run", f"evolve analyse {view.quoted} {name}"))
    return Section("analyses", "Analyses", blocks)


def _summary(view: View, analysis: Analysis) -> Table:
    plain = list(dict.fromkeys(name for one in analysis.entries for name, value in one.items() if _is_plain(value)))
    fields = [name for name in plain if name not in ("evolver", "round")]
    rows = [[*_who(view, one), *(_cell(one.get(name)) for name in fields)] for one in analysis.entries]
    headings = ["evolver", "round", *(name.replace("_", " ") for name in fields)]
    return Table(f"{analysis.name}: what analyses/{analysis.name}/summary.json says.", headings, rows, 2)


def _who(view: View, entry: Mapping[str, Any]) -> tuple[str, str]:
    return view.title(entry["evolver"]) if entry["round"] else "seeds", round_title(entry["round"])


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return NONE if value is None else f"{value:,}" if isinstance(value, int) else str(value)
