"""The sections about numbers of records: the funnel, reasons, yields by round, operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.report import plots
from ray_jobs.report.blocks import Note, Section, Table
from ray_jobs.report.costs import reached
from ray_jobs.report.gather import Ending
from ray_jobs.report.measures import IC_IFD, MEASURES
from ray_jobs.report.style import figure
from ray_jobs.report.view import NONE, View, count, percent, round_title

STAGES = ("planned", "evolved", "answered", "kept")


def funnel_section(view: View) -> Section:
    """From planned records to kept ones, and why the others were lost."""
    title = "From planned to kept"
    if view.inputs.kind == "selection":
        return Section(
            "funnel", title, [Note("A selection holds kept records alone; the report of its run has the rest.")]
        )
    lines = {view.title(name): _funnel(view, name) for name in view.evolvers}
    picture = figure(
        "funnel",
        f"Bars of the records planned, evolved, answered and kept, for {', '.join(lines)}. The table has the numbers.",
        "Records that came as far as each stage.",
        plots.funnel(STAGES, lines),
    )
    rows = [
        [name, *map(count, line), percent(line[-1], line[0]), count(_pending(view, evolver))]
        for evolver, (name, line) in zip(view.evolvers, lines.items(), strict=True)
    ]
    headings = ["evolver", *STAGES, "kept of planned", "without outcome yet"]
    table = Table("Records by stage. One row of a run gives a record a round.", headings, rows)
    return Section("funnel", title, [picture, table, *_cut(view), *_reasons(view), *_unreadable(view)])


def _funnel(view: View, evolver: str) -> list[int]:
    gathered, planned = view.gathered, view.inputs.planned()
    return [
        planned[evolver] if planned else gathered.ended(evolver),
        reached(gathered, ("respond", "score"), evolver),
        reached(gathered, ("score",), evolver),
        gathered.kept(evolver),
    ]


def _pending(view: View, evolver: str) -> int:
    planned = view.inputs.planned()
    return planned[evolver] - view.gathered.ended(evolver) if planned else 0


def _cut(view: View) -> list[Note]:
    """What share of the kept responses ran into their limit, by evolver."""
    found = view.gathered.finished
    shares = []
    for evolver in view.evolvers:
        ended = sum(number for (name, _), number in found.items() if name == evolver)
        if ended:
            shares.append(f"{view.title(evolver)} {percent(found[evolver, 'length'], ended)}")
    cut = any(reason == "length" for _, reason in found)
    return (
        [Note(f"Kept responses that ran into their token limit: {', '.join(shares)}.", warning=cut)] if shares else []
    )


def _reasons(view: View) -> list[Table | Note]:
    found: Counter[Ending] = Counter()
    for (_, _, ending), number in view.gathered.endings.items():
        if ending.status != KEPT:
            found[ending] += number
    if not found:
        return [Note("No record was rejected and none failed.")]
    rows = [
        [ending.reason, ending.status, ending.stage, *(count(_of(view, name, ending)) for name in view.evolvers)]
        for ending, _ in found.most_common()
    ]
    headings = ["reason", "how it ended", "stage", *map(view.title, view.evolvers)]
    return [Table("Records that were not kept, by reason: a rule's name, or the class of an error.", headings, rows, 3)]


def _of(view: View, evolver: str, ending: Ending) -> int:
    found = view.gathered.endings
    return sum(number for (name, _, item), number in found.items() if (name, item) == (evolver, ending))


def _unreadable(view: View) -> list[Note]:
    plan = view.inputs.plan
    if not plan:
        return []
    unreadable = plan.unreadable.total()
    told = f"{count(plan.usable_seeds)} usable seeds, {count(plan.duplicates)} duplicates left out, {count(unreadable)}"
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in plan.unreadable.most_common())
    return [Note(f"{told} that could not be read{f' ({reasons})' if reasons else ''}.", warning=unreadable > 0)]


def yields_section(view: View) -> Section:
    """The share of records that were kept, by round."""
    values = {
        view.title(name): [
            _share(view.gathered.kept(name, item), view.gathered.ended(name, item)) for item in view.rounds
        ]
        for name in view.evolvers
    }
    titles = [round_title(item) for item in view.rounds]
    picture = figure(
        "yields",
        f"Bars of the share of records kept by round, for {', '.join(values)}. The table has the numbers.",
        "Share of the records with an outcome that were kept.",
        plots.shares(titles, values, "kept of all records with an outcome"),
    )
    rows = [
        [view.title(name), round_title(item), *_statuses(view, name, item)]
        for name in view.evolvers
        for item in view.rounds
    ]
    headings = ["evolver", "round", "kept", "rejected", "failed", "kept share"]
    return Section("yields", "Yield by round", [picture, Table("Records by round.", headings, rows, 2)])


def _statuses(view: View, evolver: str, number: int) -> Sequence[str]:
    found: Counter[str] = Counter()
    for (name, place, ending), records in view.gathered.endings.items():
        if (name, place) == (evolver, number):
            found[ending.status] += records
    return [*(count(found[status]) for status in (KEPT, REJECTED, FAILED)), percent(found[KEPT], found.total())]


def operators_section(view: View) -> Section:
    """How each way of making an instruction harder fared."""
    found = view.gathered.operators
    names = sorted({operator for _, operator, _ in found})
    if not names:
        return Section("operators", "Operators", [Note("No record names an operator.")])
    pairs = {
        (evolver, name): (found[evolver, name, KEPT], sum(found[evolver, name, item] for item in (REJECTED, FAILED)))
        for evolver in view.evolvers
        for name in names
    }
    values = {
        view.title(evolver): [_share(pairs[evolver, name][0], sum(pairs[evolver, name])) for name in names]
        for evolver in view.evolvers
    }
    picture = figure(
        "operators",
        f"Bars of the share of records kept by operator: {', '.join(names)}. The table has the numbers.",
        "Share of the records with an outcome that were kept, by operator.",
        plots.shares([name.replace("_", " ") for name in names], values, "kept of all records with an outcome"),
    )
    rows = [
        [name.replace("_", " "), view.title(evolver), count(sum(ended)), percent(ended[0], sum(ended)), score]
        for (evolver, name), ended in sorted(pairs.items(), key=lambda item: item[0][1])
        for score in [_mean_score(view, evolver, name)]
    ]
    headings = ["operator", "evolver", "records", "kept share", f"mean {MEASURES[IC_IFD].axis}"]
    table = Table("Records and the mean IC-IFD of the kept ones, by operator.", headings, rows, 2)
    return Section("operators", "Operators", [picture, table])


def _mean_score(view: View, evolver: str, operator: str) -> str:
    scores = view.gathered.operator_scores.get((evolver, operator))
    return MEASURES[IC_IFD].shown(scores.mean) if scores else NONE


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
