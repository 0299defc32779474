"""The section that shows records in full: both ends of the scores, and what each evolver made of the same seed."""

from __future__ import annotations

from collections.abc import Sequence

from ray_jobs.report.blocks import Block, Example, Examples, Note, Section
from ray_jobs.report.examples import Record, Tail
from ray_jobs.report.measures import LED
from ray_jobs.report.view import View, round_title

LONGEST = 800
"""Characters of a text that are shown."""


def examples_section(view: View) -> Section:
    """Examples of each tail side by side, and of the same seeds."""
    blocks: list[Block] = []
    tails = [(name, view.gathered.lowest[name], view.gathered.highest[name]) for name in view.evolvers]
    for index, (name, lowest, highest) in enumerate(tail for tail in tails if tail[1].found):
        columns = [("lowest IC-IFD", _tail(lowest)), ("highest IC-IFD", _tail(highest))]
        blocks.append(Examples(f"{view.title(name)}: both ends of IC-IFD", columns, opened=index == 0))
    if not blocks:
        blocks.append(Note("No kept record has an IC-IFD, so there are no ends to show."))
    for index, records in enumerate(view.gathered.same_seeds.shown()):
        ordered = [(name, [_example(records[name])]) for name in view.evolvers if name in records]
        title = f"The same seed, last kept round: {_cut(next(iter(records.values()))['seed_instruction'], 90)}"
        blocks.append(Examples(title, ordered, opened=index == 0))
    return Section("examples", "Examples", blocks)


def _tail(tail: Tail) -> Sequence[Example]:
    return [_example(record) for _, record in tail.found]


def _example(record: Record) -> Example:
    facts = [round_title(record["round"]), (record["operator"] or "").replace("_", " ")]
    texts = [("seed", record["seed_instruction"]), ("input", record["input"]), ("instruction", record["instruction"])]
    return Example(
        " · ".join(f"{item.label} {item.shown(record[item.name])}" for item in LED if item.headline),
        " · ".join(fact for fact in facts if fact),
        [(label, _cut(text)) for label, text in (*texts, ("response", record["output"])) if text],
    )


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
