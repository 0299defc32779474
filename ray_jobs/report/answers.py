"""The section about several answers to an instruction."""

from __future__ import annotations

from collections.abc import Sequence

from ray_jobs.report import plots
from ray_jobs.report.blocks import Block, Figure, Note, Section, Table
from ray_jobs.report.several import Chosen
from ray_jobs.report.style import figure
from ray_jobs.report.view import NONE, View, count

KEPT, OTHERS = "kept", "others"


def answers_section(view: View) -> list[Section]:
    """Scores by the rule that chose; no section where no record has several answers."""
    choices = view.gathered.choices
    if not choices.chosen:
        return []
    text = (
        "The scores by which one of several answers was kept, and those of the others. The spread is from the lowest "
        "to the highest score of a record; a pair is an answer and one that is known to be worse."
    )
    blocks: list[Block] = [Note(text)]
    for rule in choices.rules:
        chosen = {name: choices.chosen[name, rule] for name in view.evolvers if (name, rule) in choices.chosen}
        blocks += [block for block in (_picture(view, rule, chosen), _table(view, rule, chosen)) if block]
    return [Section("answers", "Several answers", blocks)]


def _picture(view: View, rule: str, chosen: dict[str, Chosen]) -> Figure | None:
    groups = {
        view.title(name): [pair for pair in ((KEPT, item.outputs), (OTHERS, item.others)) if pair[1].n]
        for name, item in chosen.items()
        if item.outputs.n
    }
    if not groups:
        return None
    return figure(
        f"answers-{rule.replace('_', '-')}",
        f"Distributions of scores by {rule}, of kept and other answers, for {', '.join(groups)}; the table has means.",
        f"Scores of answers by {rule}; a triangle marks each median.",
        plots.distributions(groups, f"score by {rule}", (KEPT, OTHERS)),
    )


def _table(view: View, rule: str, chosen: dict[str, Chosen]) -> Table:
    rows = [
        [view.title(name), count(item.records), *map(_shown, (item.outputs.mean, item.others.mean, item.mean_spread))]
        for name, item in chosen.items()
    ]
    headings: Sequence[str] = ["evolver", "records", "mean of kept", "mean of others", "mean spread"]
    return Table(f"Records whose answer was chosen by {rule}, and the scores of their answers.", headings, rows)


def _shown(value: float | None) -> str:
    return NONE if value is None else f"{value:,.3f}"
