"""What a selection writes beside its data: selection.json, the exact account, and README.md, the dataset card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ray_jobs.datasets.benchmark_files import BenchmarkFile
from ray_jobs.datasets.outcomes import Counts, Group, Outcome
from ray_jobs.datasets.rule import Rule, format_top
from ray_jobs.datasets.sieve import GroupCut
from ray_jobs.datasets.source import SELECTION
from ray_jobs.datasets.target import Contents, write_new
from ray_jobs.output.card import card_header
from ray_jobs.output.file_names import CARD, DATA
from ray_jobs.output.manifest import Part
from ray_jobs.storage.store import Store

TITLE = "# Selected instructions"
CONTENTS = Contents("selection", (DATA,), SELECTION, {CARD: TITLE})
"""What a selection writes."""


@dataclass(frozen=True)
class Selection:
    """The account of a selection. `counts` says how many records of each group were kept, or left out and why."""

    rule: Rule
    origin: Mapping[str, Any]
    cuts: Mapping[Group, GroupCut]
    counts: Counts
    parts: Sequence[Part]
    benchmarks: Sequence[BenchmarkFile]

    @property
    def totals(self) -> dict[Outcome, int]:
        """Records by what became of them, kept first."""
        totals: Counter[Outcome] = Counter()
        for (_, reason), count in self.counts.items():
            totals[reason] += count
        totals.setdefault(Outcome.KEPT, 0)
        return {reason: totals[reason] for reason in sorted(totals)}

    def to_json(self) -> dict[str, Any]:
        """The content of selection.json, without the time."""
        return {
            "rule": self.rule.to_json(),
            "source": dict(self.origin),
            "counts": {"read": self.counts.total(), **{reason.label: count for reason, count in self.totals.items()}},
            "groups": [self._group(group) for group in self.groups],
            "benchmarks": [asdict(file) for file in self.benchmarks],
            "files": [asdict(part) for part in self.parts],
        }

    @property
    def groups(self) -> list[Group]:
        """The groups in order; a missing value sorts first."""
        found = {group for group, _ in self.counts}
        return sorted(found, key=lambda group: [(value is not None, value) for value in group])

    def _group(self, group: Group) -> dict[str, Any]:
        reasons = {reason.label: self.counts[group, reason] for reason in self.totals}
        facts: dict[str, Any] = {**dict(zip(self.rule.per, group, strict=True)), "counts": reasons}
        if group in self.cuts:
            cuts = self.cuts[group]
            facts |= {"ranked": cuts.ranked, "cut_score": cuts.cut and cuts.cut.score, "cut_last_id": cuts.last_id}
        return facts


def write_selection(target: Store, selection: Selection, languages: Sequence[str]) -> None:
    """Write the card, and the account last: a folder without it is no finished selection."""
    write_new(target, CARD, card(selection, languages).encode())
    content = {"written_at": datetime.now(UTC).isoformat(), **selection.to_json()}
    write_new(target, SELECTION, json.dumps(content, indent=1).encode())


def card(selection: Selection, languages: Sequence[str]) -> str:
    """The dataset card, with the YAML header that dataset viewers read, of texts in these languages."""
    origin, rule = selection.origin, selection.rule
    counts = "\n".join(f"| {reason.label} | {count:,} |" for reason, count in selection.totals.items())
    return f"""{card_header(f"{DATA}/*.parquet", languages)}{TITLE}

{selection.totals[Outcome.KEPT]:,} of {origin["records"]:,} instruction-response pairs of run `{origin["run_id"]}`
(fingerprint of the source: `{origin["fingerprint"]}`), selected by `{rule.by}`.

{_sentences(selection)}

| | records |
|---|---|
{counts}

{_group_table(selection)}`selection.json` holds the rule, the cuts and these counts for programs. The columns are those
of the source. Whoever publishes this set chooses its licence, within what the seeds and the models allow.
"""


def _sentences(selection: Selection) -> str:
    rule = selection.rule
    lines = [_kept_sentence(rule)]
    if rule.drop_cut:
        lines.append("Records whose response ran into its token limit were left out before.")
    if rule.drop_ifd_above is not None:
        lines.append(f"Records with an IFD (ratio of losses) above {rule.drop_ifd_above:g} were left out before.")
    if selection.benchmarks:
        names = ", ".join(f"`{file.path}`" for file in selection.benchmarks)
        lines.append(f"Records were left out then that have a run of {rule.ngram} words in common with {names}.")
    if rule.near_duplicates is not None:
        lines.append(
            "Of instructions that are nearly the same (sets of three-word runs whose Jaccard similarity, by MinHash, "
            f"is {rule.near_duplicates:g} or more) the first in rank was kept."
        )
    return "\n".join(f"- {line}" for line in lines)


def _kept_sentence(rule: Rule) -> str:
    if rule.range is not None:
        low, high = ("-" if bound is None else f"{bound:g}" for bound in rule.range)
        return f"Kept: `{rule.by}` from {low} to {high}, bounds included."
    each = f" of each {', '.join(rule.per)}" if rule.per else ""
    if rule.seed is not None:
        return f"Kept: {format_top(rule.top)} drawn at random{each}, with seed {rule.seed}, by a hash of `record_id`."
    return (
        f"Kept: the {rule.order} {format_top(rule.top)} by `{rule.by}`{each}, among records that have this score. A "
        "share is rounded up to whole records; equal scores are ranked by `record_id`."
    )


def _group_table(selection: Selection) -> str:
    if not selection.rule.per:
        return ""
    columns = [*selection.rule.per, *(reason.label for reason in selection.totals)]
    lines = [columns, ["---"] * len(columns)]
    for group in selection.groups:
        counts = [f"{selection.counts[group, reason]:,}" for reason in selection.totals]
        lines.append([*("" if value is None else str(value) for value in group), *counts])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"
