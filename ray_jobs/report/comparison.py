"""The section that sets evolvers against each other on the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ray_jobs.report import plots
from ray_jobs.report.blocks import Block, Figure, Note, Section, Table
from ray_jobs.report.compare import KEPT_SHARE, RESAMPLES, TOKENS, TRUSTED_SEEDS, Difference, common_seeds, compare
from ray_jobs.report.measures import COMPARED
from ray_jobs.report.seeds import SeedSums
from ray_jobs.report.style import figure
from ray_jobs.report.view import NONE, View, count, round_title

ALL = "all rounds"


@dataclass(frozen=True)
class _Shown:
    """How a compared measure is called and written."""

    label: str
    unit: str
    decimals: int

    def text(self, value: float | None, signed: bool = False) -> str:
        return NONE if value is None else f"{value:{'+' if signed else ''},.{self.decimals}f}".replace("-", "−")


SHOWN = {item.name: _Shown(item.label, item.unit, item.decimals) for item in COMPARED} | {
    KEPT_SHARE: _Shown("kept share", "of records", 3),
    TOKENS: _Shown("cost", "tokens a kept record", 0),
}


def comparison_section(view: View) -> Section:
    """Every evolver minus the baseline, in all measures, over all rounds and in each."""
    title, sums = "Compared on the same seeds", view.gathered.sums
    if view.baseline is None or sums is None or len(sums.evolvers) < 2:
        return Section("comparison", title, [Note("It takes a run of two or more evolvers to compare any.")])
    others = [name for name in view.evolvers if name != view.baseline]
    found = {name: _all_differences(view, sums, name, view.baseline) for name in others}
    found = {name: differences for name, differences in found.items() if differences}
    if not found:
        return Section("comparison", title, [Note(f"No seed went through both {view.baseline} and another evolver.")])
    tables = [table for name, differences in found.items() for table in _tables(name, view.baseline, differences)]
    return Section("comparison", title, [*_notes(view, sums, found), _picture(found, view.baseline), *tables])


def _all_differences(view: View, sums: SeedSums, first: str, second: str) -> list[Difference]:
    rounds = [None, *view.rounds] if len(view.rounds) > 1 else [None]
    differences = [item for number in rounds for item in compare(sums, first, second, number)]
    places = {name: index for index, name in enumerate(SHOWN)}
    return sorted(differences, key=lambda item: (places[item.measure], item.round or 0))


def _notes(view: View, sums: SeedSums, found: dict[str, list[Difference]]) -> list[Block]:
    assert view.baseline is not None
    seeds = {name: common_seeds(sums, name, view.baseline) for name in found}
    told = ", ".join(f"{count(number)} seeds for {name}" for name, number in seeds.items())
    sampled = f" These are of a random sample of {count(sums.sample.size)} of {count(sums.sample.of)} seeds."
    notes: list[Block] = [
        Note(
            f"Differences are an evolver minus {view.baseline}, over the seeds that both had an outcome for ({told})."
            f"{sampled if sums.sample.size < sums.sample.of else ''} A seed's value is the mean over its kept records, "
            "and only seeds of which both evolvers have one count. The 95 % intervals are percentiles of a paired "
            f"bootstrap: {count(RESAMPLES)} times as many seeds are drawn with replacement, each with all its records. "
            "They are not corrected for the number of comparisons."
        )
    ]
    if min(seeds.values()) < TRUSTED_SEEDS:
        notes.append(Note(f"With fewer than {TRUSTED_SEEDS} seeds such intervals are too narrow.", warning=True))
    return notes


def _picture(found: dict[str, list[Difference]], baseline: str) -> Figure:
    panels: dict[tuple[str, str], list[plots.Interval]] = {}
    for name, differences in found.items():
        for difference in differences:
            if len(found) > 1 and difference.round is not None:
                continue  # with several evolvers the rounds stand in the tables
            label = name if len(found) > 1 else _round(difference)
            shown = SHOWN[difference.measure]
            panels.setdefault((shown.label, shown.unit), []).append(
                (label, difference.difference, difference.low, difference.high)
            )
    return figure(
        "comparison",
        f"Differences to {baseline} with 95 % intervals in {', '.join(title for title, _ in panels)}. The tables have "
        "the numbers.",
        f"{', '.join(found)} minus {baseline}, with 95 % intervals. Blue: clearly more; orange: clearly less; grey "
        "squares: the interval includes 0, or one seed gives none.",
        plots.intervals(panels),
    )


def _tables(name: str, baseline: str, differences: Sequence[Difference]) -> list[Table]:
    """All rounds together, and behind a click each by itself."""
    whole, single = (
        [difference for difference in differences if (difference.round is None) is all_of] for all_of in (True, False)
    )
    rows = [[_name(item), *_cells(item)] for item in whole]
    headings = ["difference", "95 % interval", "clearly", name, baseline, "seeds"]
    tables = [Table(f"{name} against {baseline}, paired by seed, all rounds.", ["measure", *headings], rows)]
    if single:
        rows = [[_name(item), _round(item), *_cells(item)] for item in single]
        caption = f"{name} against {baseline}, paired by seed, by round."
        tables.append(Table(caption, ["measure", "round", *headings], rows, 2, folded=True))
    return tables


def _name(difference: Difference) -> str:
    shown = SHOWN[difference.measure]
    return f"{shown.label} ({shown.unit})" if shown.unit else shown.label


def _cells(difference: Difference) -> list[str]:
    shown, interval = SHOWN[difference.measure], NONE
    if difference.low is not None:
        interval = f"{shown.text(difference.low, signed=True)} to {shown.text(difference.high, signed=True)}"
    clear = "" if not difference.clear else "more" if difference.difference > 0 else "less"
    values = [shown.text(difference.first), shown.text(difference.second)]
    return [shown.text(difference.difference, signed=True), interval, clear, *values, count(difference.seeds)]


def _round(difference: Difference) -> str:
    return ALL if difference.round is None else round_title(difference.round)
