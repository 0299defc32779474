"""Known answers of seeds, and whether answers to the same task end alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from evolve.final_answers import final_answer
from ray_jobs.output.rounds import RoundRow


def reference_of(row: dict[str, Any], round_row: RoundRow, kept_by: Collection[str]) -> str | None:
    """What the answer to a round's task must end with: the seed's final answer; None where nothing tells.

    It is known where the seed has one and no operator but those of `kept_by` has made the task from the seed's; not
    behind a round that is no longer there. Rows of the service tell of no seed's answer.
    """
    reference = final_answer(row.get("seed_output") or "")
    by_number = {each["round"]: each for each in row.get("rounds") or ()}
    item: RoundRow | None = round_row
    while item and item["round"]:
        if item["operator"] not in kept_by:
            return None
        if not item["parent_round"]:
            return reference
        item = by_number.get(item["parent_round"])
    return reference if item else None


def match(reference: str, answer: str) -> int:
    """1 where the answer ends as the reference does, else 0."""
    return int(final_answer(answer) == reference)
