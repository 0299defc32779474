"""Two runs, or two evolvers of one, side by side: figures of the whole, and scores of the seeds that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ray_jobs.errors import ConfigError
from ray_jobs.output.columns import HEADLINES
from ray_jobs.output.schema import KEPT
from ray_jobs.service.records import Filter, Place, Records
from ray_jobs.service.runs import Runs

LOOKED_AT = 200_000
"""How many kept records of each side are joined by their seeds at most."""
SHOWN = 20
ORDERS = ("difference", "a", "b")
SURE = 1.96
_TEXTS = ("record_id", "row_id", "evolver", "round", "seed_instruction", "instruction", "output", "ic_ifd", "ifd")
_JOINED = ("seed_id", "round")


@dataclass(frozen=True)
class Asked:
    """Which two, by which score, and which pairs first: those that differ most, or where one side leads by most."""

    a: str
    b: str
    a_evolver: str | None = None
    b_evolver: str | None = None
    score: str = "ic_ifd"
    order: str = ORDERS[0]

    def __post_init__(self) -> None:
        """Raise ConfigError where a word is not known."""
        for name, value, known in (
            ("score", self.score, [item.name for item in HEADLINES]),
            ("order", self.order, ORDERS),
        ):
            if value not in known:
                raise ConfigError(f"the query is wrong\n  {name}: expected one of {', '.join(known)}, got {value}")


@dataclass(frozen=True)
class Last:
    """The last kept record of a seed, and its score."""

    place: Place
    round: int
    score: float | None


def compared(runs: Runs, asked: Asked, wait_seconds: float) -> dict[str, Any]:
    """Both sides and their pairs; `indexing` instead of pairs where an index is not made within so long.

    Raises NotFound.
    """
    sides = {"a": _side(runs, asked.a, asked.a_evolver), "b": _side(runs, asked.b, asked.b_evolver)}
    both = [runs.records(run_id) for run_id in (asked.a, asked.b)]
    made = [records.prepare(wait_seconds / 2) for records in both]
    if any(done < of for done, of in made):
        return {**sides, "indexing": {"done": sum(done for done, _ in made), "of": sum(of for _, of in made)}}
    firsts, seconds = (
        _by_seed(records, evolver, asked.score)
        for records, evolver in zip(both, (asked.a_evolver, asked.b_evolver), strict=True)
    )
    return {**sides, "score": asked.score, **_pairs(both, firsts, seconds, asked)}


def _side(runs: Runs, run_id: str, evolver: str | None) -> dict[str, Any]:
    run = runs.one(run_id)
    groups = [group for group in run.get("groups", ()) if evolver in (None, group["evolver"])]
    reasons = [
        {**reason, "count": reason["count"] if evolver is None else reason["evolvers"].get(evolver, 0)}
        for reason in run.get("reasons", ())
    ]
    records = {name: sum(group[name] for group in groups) for name in ("kept", "rejected", "failed")}
    ended = sum(records.values())
    return {
        "id": run_id,
        "evolver": evolver,
        "evolvers": sorted({group["evolver"] for group in run.get("groups", ())}),
        "state": run["state"],
        "records": {**records, "planned": run["records"]["planned"] if "records" in run else None},
        "kept_share": records["kept"] / ended if ended else None,
        "groups": groups,
        "reasons": [reason for reason in reasons if reason["count"]],
        "pools": run.get("pools", []),
        "tokens": sum(pool["prompt_tokens"] + pool["completion_tokens"] for pool in run.get("pools", ())),
        "spent": run.get("spent"),
        "seconds": run.get("seconds"),
    }


def _by_seed(records: Records, evolver: str | None, score: str) -> dict[str, Last]:
    """The last kept record of each seed among the first LOOKED_AT."""
    found, looked = dict[str, Last](), 0
    for part, mask in records.masks(Filter(outcome=KEPT, evolver=evolver)):
        if looked >= LOOKED_AT or not mask.any():
            continue
        with records.store.open_input(part.path) as opened, pq.ParquetFile(opened) as file:
            there = score in file.schema_arrow.names
            table = file.read(columns=[*_JOINED, *([score] if there else [])])
        positions = np.flatnonzero(mask)
        looked += len(positions)
        columns = [table[name].take(positions).to_pylist() for name in _JOINED]
        scores = table[score].take(positions).to_pylist() if there else [None] * len(positions)
        for position, seed, number, value in zip(positions.tolist(), *columns, scores, strict=True):
            if seed not in found or found[seed].round < number:
                found[seed] = Last(Place(part, position), number, value)
    return found


def _pairs(
    both: Sequence[Records], firsts: Mapping[str, Last], seconds: Mapping[str, Last], asked: Asked
) -> dict[str, Any]:
    shared = [seed for seed in firsts if seed in seconds]
    scored = [
        (seed, float(second) - float(first))
        for seed in shared
        if (first := firsts[seed].score) is not None and (second := seconds[seed].score) is not None
    ]
    differences = np.array([difference for _, difference in scored])
    keys = {"difference": lambda item: -abs(item[1]), "a": lambda item: item[1], "b": lambda item: -item[1]}
    shown = [seed for seed, _ in sorted(scored, key=keys[asked.order])[:SHOWN]] or shared[:SHOWN]
    sides = [
        records.read([last[seed].place for seed in shown], _TEXTS)
        for records, last in zip(both, (firsts, seconds), strict=True)
    ]
    return {
        "seeds": {"a": len(firsts), "b": len(seconds), "both": len(shared), "scored": len(scored)},
        "difference": _interval(differences),
        "wins": {
            "a": int((differences < 0).sum()),
            "b": int((differences > 0).sum()),
            "ties": int((differences == 0).sum()),
        },
        "pairs": [
            {"seed_id": seed, "seed": a["seed_instruction"], "a": a, "b": b}
            for seed, a, b in zip(shown, *sides, strict=True)
        ],
        "looked_at": LOOKED_AT,
    }


def _interval(differences: Any) -> dict[str, float] | None:
    """The mean of b's score less a's, and where it lies with 95 % certainty."""
    if len(differences) < 2:
        return None
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / sqrt(len(differences))
    return {"mean": mean, "low": mean - SURE * error, "high": mean + SURE * error}
