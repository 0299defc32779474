"""The funnel: for every step and kind of thing, what came in, what was kept, and why the rest fell, by evolver.

The first two phases are counted from their records, of which there are thousands; the last from its manifest alone.
Each finished phase leaves its part in its own report.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ray_jobs.output.counts import PAIRS, OutcomeCounts
from ray_jobs.output.file_names import DATA
from ray_jobs.output.manifest import Manifest
from ray_jobs.output.part_files import pieces
from ray_jobs.output.schema import FAILED, KEPT
from ray_jobs.storage.store import Store

Record = dict[str, Any]
_KINDS = ("reply", "function", "case", "back_translation")
_STEP_OF = {
    "reply": "verify",
    "function": "cross_validate",
    "case": "cross_validate",
    "back_translation": "back_translate",
}
_WENT_DOWN = "with_its_instruction"
_QUALITY = frozenset({"score", "no_score", "refused"})
"""Reasons of the quality step; a response that the engine refuses is a failure, not a rejection."""


@dataclass(frozen=True)
class Step:
    """One line of the funnel. entered = kept + the sum of `fallen`, which counts by reason."""

    evolver: str
    step: str
    kind: str
    entered: int
    kept: int
    fallen: Mapping[str, int] = field(default_factory=dict)


def of_calls(store: Store, found: Manifest) -> list[Step]:
    """Calls for new instructions, and the lines that they gave."""
    steps = []
    for evolver, records in _by_evolver(store, found):
        fallen: Counter[str] = Counter(_outcome(record) for record in records if record["status"] != KEPT)
        steps.append(Step(evolver, "augment", "call", len(records), len(records) - fallen.total(), dict(fallen)))
        lines, bad = 0, Counter[str]()
        for account in _accounts(records):
            lines += len(account["instructions"])
            bad.update(item["reason"] for item in account["fallen"] if item["kind"] == "instruction")
        steps.append(Step(evolver, "augment", "line", lines + bad.total(), lines, dict(bad)))
    return steps


def of_instructions(store: Store, found: Manifest) -> list[Step]:
    """Instructions and all that was made for them, to the end of NLI."""
    steps = []
    for evolver, records in _by_evolver(store, found):
        again = Counter(record["reason"] for record in records if record["stage"] == "augment")
        steps.append(Step(evolver, "augment", "instruction", len(records), len(records) - again.total(), dict(again)))
        steps += _parts(evolver, list(_accounts(records)))
        left = len(records) - again.total()
        for step, stages in (("cross_validate", ("verify", "cross_validate")), ("nli", ("nli",))):
            fallen = Counter(_outcome(record) for record in records if record["stage"] in stages)
            steps.append(Step(evolver, step, "instruction", left, left - fallen.total(), dict(fallen)))
            left -= fallen.total()
    return steps


def of_answers(outcome_counts: OutcomeCounts) -> list[Step]:
    """Responses and preference pairs."""
    steps = []
    for evolver in sorted({name for name, _, _, _ in outcome_counts.outcomes if name}):
        outcomes: Counter[tuple[str, str]] = Counter()
        for (name, _, status, reason), count in outcome_counts.outcomes.items():
            if name == evolver:
                outcomes[status, reason] += count
        low = Counter({reason: n for (status, reason), n in outcomes.items() if reason in _QUALITY})
        other = Counter(
            {
                (f"{FAILED}: {reason}" if status == FAILED else reason): n
                for (status, reason), n in outcomes.items()
                if status != KEPT and reason not in _QUALITY
            }
        )
        scored = outcomes.total() - other.total()
        steps.append(Step(evolver, "respond", "response", outcomes.total(), scored, dict(other)))
        steps.append(Step(evolver, "quality", "response", scored, scored - low.total(), dict(low)))
        pairs = int(
            sum(n for (name, _, column), n in outcome_counts.sums.items() if (name, column) == (evolver, PAIRS))
        )
        steps.append(Step(evolver, "pair", "preference pair", pairs, pairs))
    return steps


def as_plain(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Steps as report.json holds them."""
    return [asdict(step) for step in steps]


def describe(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps in lines for people, evolver by evolver, each in the order of the steps."""
    lines = []
    for evolver in dict.fromkeys(step["evolver"] for step in steps):
        lines.append(f"funnel of {evolver}")
        for step in steps:
            if step["evolver"] == evolver:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(step["fallen"].items()))
                lines.append(
                    f"  {step['step']:<16}{step['kind']:<17}{step['entered']:>8,} in {step['kept']:>8,} kept"
                    + (f"  ({reasons})" if reasons else "")
                )
    return lines


def _parts(evolver: str, accounts: Sequence[Record]) -> list[Step]:
    """Replies, functions, cases and back-translations."""
    steps = []
    for kind in _KINDS:
        entered = sum(account["entered"].get(kind, 0) for account in accounts)
        kept = sum(account["kept"][kind] for account in accounts)
        fallen = Counter(
            item["reason"]
            for account in accounts
            for item in account["fallen"]
            if (item["kind"], item["step"] != "nli") == (kind, True)
        )
        if lost := entered - kept - fallen.total():
            fallen[_WENT_DOWN] += lost
        steps.append(Step(evolver, _STEP_OF[kind], kind, entered, kept, dict(fallen)))
    return steps


def _by_evolver(store: Store, found: Manifest) -> list[tuple[str, list[Record]]]:
    """All records of an output, kept ones with a status and no stage, by evolver."""
    records: dict[str, list[Record]] = {}
    for entry in found.entries:
        for folder, piece in pieces(store, entry):
            ended = [] if folder == DATA else ["status", "stage", "reason"]
            for row in piece.select(["evolver", "trajectory", *ended]).to_pylist():
                records.setdefault(row["evolver"], []).append({"status": KEPT, "stage": None, **row})
    return sorted(records.items())


def _accounts(records: Iterable[Record]) -> Iterable[Record]:
    return (json.loads(record["trajectory"]) for record in records if record["trajectory"])


def _outcome(record: Record) -> str:
    return f"{FAILED}: {record['reason']}" if record["status"] == FAILED else str(record["reason"])
