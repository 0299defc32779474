"""Counts and sums of records: small enough for every manifest entry, and they add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.output.columns import SUMMED
from ray_jobs.output.schema import KEPT

Group = tuple[str, int]
"""An evolver and a round. Seeds that could not be read, and pairs that were only scored, have
the evolver "" and round 0."""

PAIRS = "pairs"
"""The sum that counts preference pairs: a record's output against each of its rejected outputs."""

FINISH = "respond_finish_reason"
CUT = "cut_answers"
"""The sum that counts kept records whose response ran into its token limit, of those of which that is known."""
CUT_SHARE = "cut_share"
"""What part of the kept responses they are, in reports; null where it is not known."""


@dataclass(slots=True)
class OutcomeCounts:
    """Records by group and outcome, and sums with their counts for means.

    `outcomes` counts (evolver, round, status, reason); `sums` and `counts` hold (evolver, round, column) over the
    records in which the column is not null.
    """

    rows: int = 0
    outcomes: Counter[tuple[str, int, str, str]] = field(default_factory=Counter)
    sums: defaultdict[tuple[str, int, str], float] = field(default_factory=lambda: defaultdict(float))
    counts: Counter[tuple[str, int, str]] = field(default_factory=Counter)

    def add(self, other: OutcomeCounts) -> None:
        """Take another count of outcomes in."""
        self.rows += other.rows
        self.outcomes.update(other.outcomes)
        for key, value in other.sums.items():
            self.sums[key] += value
        self.counts.update(other.counts)

    @classmethod
    def total(cls, many_counts: Iterable[OutcomeCounts]) -> OutcomeCounts:
        """The sum of many counts of outcomes."""
        whole = cls()
        for outcome_counts in many_counts:
            whole.add(outcome_counts)
        return whole

    def by_status(self) -> Counter[str]:
        """Records by status."""
        totals: Counter[str] = Counter()
        for (_, _, status, _), count in self.outcomes.items():
            totals[status] += count
        return totals

    def groups(self) -> list[Group]:
        """The evolvers and rounds that occur, in order."""
        return sorted({(evolver, number) for evolver, number, _, _ in self.outcomes})

    def mean(self, group: Group, column: str) -> float | None:
        """The mean of `column` over the kept records of a group in which it is defined."""
        count = self.counts[(*group, column)]
        return self.sums[(*group, column)] / count if count else None

    def share(self, column: str) -> float | None:
        """The mean of `column` over the kept records of all groups in which it is defined."""
        keys = [key for key in self.counts if key[2] == column]
        count = sum(self.counts[key] for key in keys)
        return sum(self.sums[key] for key in keys) / count if count else None

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "rows": self.rows,
            "outcomes": [[*key, count] for key, count in sorted(self.outcomes.items())],
            "sums": [[*key, value, self.counts[key]] for key, value in sorted(self.sums.items())],
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> OutcomeCounts:
        """The opposite of `to_json`."""
        outcome_counts = cls(rows=raw["rows"])
        for *key, count in raw["outcomes"]:
            outcome_counts.outcomes[tuple(key)] = count
        for *key, value, count in raw["sums"]:
            outcome_counts.sums[tuple(key)] = value
            outcome_counts.counts[tuple(key)] = count
        return outcome_counts


def count_records(kept: pa.Table, rejected: pa.Table) -> OutcomeCounts:
    """Count the records of one part, kept, and rejected or failed; only columns that there are are summed."""
    numbers = pa.chunked_array([*kept["plan_row"].chunks, *rejected["plan_row"].chunks], pa.int64())
    outcome_counts = OutcomeCounts(rows=pc.count_distinct(numbers).as_py())
    if "rejected_outputs" in kept.column_names:
        kept = kept.append_column(PAIRS, pc.list_value_length(kept["rejected_outputs"]))
    if FINISH in kept.column_names:
        kept = kept.append_column(CUT, pc.equal(kept[FINISH], "length").cast(pa.int64()))
    summed = [column for column in (*SUMMED, PAIRS, CUT) if column in kept.column_names]
    for group in kept.group_by(["evolver", "round"]).aggregate(_sums(summed)).to_pylist():
        key = (group["evolver"] or "", group["round"])
        outcome_counts.outcomes[(*key, KEPT, "")] = group["record_id_count"]
        for column in summed:
            outcome_counts.sums[(*key, column)] = group[f"{column}_sum"] or 0
            outcome_counts.counts[(*key, column)] = group[f"{column}_count"]
    turned_down = rejected.group_by(["evolver", "round", "status", "reason"]).aggregate([("record_id", "count")])
    for group in turned_down.to_pylist():
        key = (group["evolver"] or "", group["round"])
        outcome_counts.outcomes[(*key, group["status"], group["reason"])] = group["record_id_count"]
    return outcome_counts


def _sums(columns: Iterable[str]) -> list[tuple[str, str]]:
    return [("record_id", "count"), *((column, how) for column in columns for how in ("sum", "count"))]
