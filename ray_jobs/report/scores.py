"""The sections about distributions: scores, top-1 probability, lengths, difficulty, neighbour distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ray_jobs.report import plots
from ray_jobs.report.blocks import Block, Note, Section, Table
from ray_jobs.report.histogram import Histogram
from ray_jobs.report.inputs import NOBODY
from ray_jobs.report.measures import DISTANCE, LED, MEASURES, POSITION_SCALE, POSITIONS, REWARD, TOP1
from ray_jobs.report.style import figure
from ray_jobs.report.view import NONE, View, count, percent, round_title

SEEDS = "seeds"
LEVELS = ("very easy", "easy", "medium", "hard", "very hard")
Groups = Mapping[str, Sequence[tuple[str, Histogram]]]


def score_sections(view: View) -> list[Section]:
    """IC-IFD and IFD, and whatever else the table of columns has a text about."""
    return [_measure_section(view, item.name, item.label, item.about) for item in LED if item.about]


def top1_section(view: View) -> Section:
    """How sure the evolvers were of their tokens, as the paper's Figure 5 asks: over positions, and by record."""
    text = (
        "The probability of the most likely token at each position of the evolver's replies, before temperature. The "
        "paper explains the variety of small models by their lower values; its Figure 5 is a density over positions, "
        "of which its code looks at the first five. A mean over a reply cannot show what share of its positions is low."
    )
    blocks = [*_position_blocks(view), Note("The mean over each reply:"), *_measure_blocks(view, TOP1)]
    return Section(TOP1, "Top-1 token probability", [Note(text), *blocks])


def _position_blocks(view: View) -> list[Block]:
    """The density over positions by round, and over the first five; a note where the records have no counts."""
    first, rest = POSITIONS
    groups = dict[str, list[tuple[str, Histogram]]]()
    rows = []
    for number in view.rounds:
        for evolver in view.evolvers:
            whole, start = Histogram(POSITION_SCALE), Histogram(POSITION_SCALE)
            for name, histogram in ((first, start), (first, whole), (rest, whole)):
                histogram.merge(view.gathered.positions.get((name, evolver, number), Histogram(POSITION_SCALE)))
            for where, item in (("all", whole), ("first five", start)):
                if item.n:
                    title = f"{round_title(number)}, {where} positions"
                    groups.setdefault(title, []).append((view.title(evolver), item))
                    rows.append([view.title(evolver), title, *_position_figures(item)])
    if not groups:
        return [Note("Positions: no kept record has counts; they came after version 0.1.")]
    names = [*map(view.title, view.evolvers), SEEDS]
    picture = figure(
        "top1-positions",
        f"Densities of top-1 probability over positions, for {', '.join(names[:-1])}. The table has the shares.",
        "Top-1 probability at the positions of replies; a triangle marks each median (the paper's Figure 5).",
        plots.distributions(groups, "top-1 probability of a position", names),
    )
    headings = ["evolver", "positions of", "positions", "below 0.3", "median", "above 0.95"]
    return [picture, Table("Positions by top-1 probability, exact to a bin of 0.05.", headings, rows, 2)]


def _position_figures(histogram: Histogram) -> list[str]:
    low, high = int(histogram.counts[:6].sum()), int(histogram.counts[-1])
    return [count(histogram.n), percent(low, histogram.n), f"{histogram.quantile(0.5):.2f}", percent(high, histogram.n)]


def length_section(view: View) -> Section:
    """Words of instructions and responses."""
    blocks: list[Block] = []
    for name in ("instruction_words", "output_words"):
        blocks += _measure_blocks(view, name)
    return Section("lengths", "Lengths", [Note("Words between white space."), *blocks])


def distance_section(view: View) -> Section:
    """How far apart instructions are, as the paper's Figure 4 shows."""
    title = "Neighbour distance"
    if "diversity" not in view.analyses:
        return Section(DISTANCE, title, [_not_analysed(view, "diversity")])
    text = (
        "The squared L2 distance of an instruction's embedding to the nearest other of the same evolver and round: 0 "
        "for a repeat. Higher is more varied (the paper's Figure 4)."
    )
    return _measure_section(view, DISTANCE, title, text)


def reward_section(view: View) -> Section:
    """How good a reward model finds the answers."""
    title = "Reward"
    if "reward" not in view.analyses:
        return Section(REWARD, title, [_not_analysed(view, "reward")])
    text = "The logit of a reward model for instruction and response: higher is better. No two models' logits compare."
    return _measure_section(view, REWARD, title, text)


def difficulty_section(view: View) -> Section:
    """Difficulty levels by round, as the paper's Figure 2 shows, and the difficulty score of its Table 13."""
    blocks: list[Block] = []
    if analysis := view.analyses.get("difficulty"):
        counts, unreadable = {}, {}
        for name, number in [(NOBODY, 0), *((name, item) for item in view.rounds for name in view.evolvers)]:
            entry = analysis.entry(name, number)
            if entry and sum(entry["labels"].values()):
                title = f"{round_title(number)} · {view.title(name)}" if number else SEEDS
                counts[title] = [int(entry["labels"].get(label, 0)) for label in LEVELS]
                unreadable[title] = int(entry.get("unreadable", 0))
        blocks += _levels(counts, unreadable)
    else:
        blocks.append(_not_analysed(view, "difficulty"))
    if "difficulty_score" in view.analyses:
        blocks += _measure_blocks(view, "difficulty_score")
    return Section("difficulty", "Difficulty", blocks)


def _levels(counts: Mapping[str, Sequence[int]], unreadable: Mapping[str, int]) -> list[Block]:
    if not counts:
        return [Note("The analysis has no readable verdict.", warning=True)]
    picture = figure(
        "difficulty-levels",
        f"Stacked bars of the levels from very easy to very hard, for {', '.join(counts)}. The table has the counts.",
        "How hard a judge model finds the instructions (the paper's Figure 2).",
        plots.stacked_levels({"": counts}, LEVELS, maximum=1),
    )
    rows = [[title, *map(count, item), count(sum(item)), count(unreadable[title])] for title, item in counts.items()]
    headings = ["", *LEVELS, "all", "unreadable replies"]
    return [
        picture,
        Table("Instructions by difficulty level, and replies of the judge that name none.", headings, rows),
    ]


def _measure_section(view: View, name: str, title: str, text: str) -> Section:
    return Section(name, title, [Note(text), *_measure_blocks(view, name)])


def _measure_blocks(view: View, name: str) -> list[Block]:
    """The picture and the table of a measure by round, or a note where no record has a value."""
    measure, groups = MEASURES[name], _by_round(view, name)
    drawn = {title: [pair for pair in pairs if pair[1].n] for title, pairs in groups.items()}
    drawn = {title: pairs for title, pairs in drawn.items() if pairs}
    if not drawn:
        return [Note(f"{measure.label}: no kept record has a value.")]
    names = [*map(view.title, view.evolvers), SEEDS]
    picture = figure(
        name.replace("_", "-"),
        f"Distributions of {measure.axis} by round, for {', '.join(names[:-1])}. The table has means and percentiles.",
        f"{measure.axis}; a triangle marks each median. The ends beyond 99 % of the records are not drawn.",
        plots.distributions(drawn, measure.axis, names),
    )
    rows = [
        [who, title, *_stats(name, item)]
        for title, pairs in groups.items()
        for who, item in pairs
        if item.n + item.undefined
    ]
    headings = ["evolver", "round", "records", "undefined", "mean", "10 %", "median", "90 %"]
    return [picture, Table(f"{measure.axis}: mean and percentiles over kept records.", headings, rows, 2)]


def _stats(name: str, histogram: Histogram) -> list[str]:
    shown = MEASURES[name].shown
    percentiles = [shown(histogram.quantile(share)) for share in (0.1, 0.5, 0.9)]
    return [
        count(histogram.n),
        count(histogram.undefined) if histogram.undefined else NONE,
        shown(histogram.mean),
        *percentiles,
    ]


def _by_round(view: View, name: str) -> Groups:
    gathered = view.gathered
    groups: dict[str, list[tuple[str, Histogram]]] = {}
    if view.inputs.evolvers and (name, NOBODY, 0) in gathered.histograms:
        groups[SEEDS] = [(SEEDS, gathered.histogram(name, NOBODY, 0))]
    for number in view.rounds:
        groups[round_title(number)] = [
            (view.title(evolver), gathered.histogram(name, evolver, number)) for evolver in view.evolvers
        ]
    return groups


def _not_analysed(view: View, name: str) -> Note:
    return Note("Not analysed. To measure it, run", command=view.command(name))
