"""A run in figures: what the list of runs and the page of one show of an output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_jobs.config.pool_names import RESPOND, SCORE, is_evolver_pool, pool_name
from ray_jobs.output.accepted import Accepted
from ray_jobs.output.columns import HEADLINES
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.run_files import NOW, Session, pools, pools_now
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.storage.store import Store

BINS = 40


@dataclass(frozen=True)
class Found:
    """One output as it was read: which store has its records, and what counts there."""

    store: Store
    place: str
    run: Mapping[str, Any]
    accepted: Accepted
    sessions: list[Session]
    finished: bool


def planned(found: Found) -> int:
    """The records that its plan comes to."""
    return found.accepted.index.asked_records(int(found.run.get("records_per_row", 1)))


def mean(counts: OutcomeCounts, name: str) -> float | None:
    """The mean of a column over all kept records that have it."""
    total = sum(value for (_, _, column), value in counts.sums.items() if column == name)
    number = sum(value for (_, _, column), value in counts.counts.items() if column == name)
    return total / number if number else None


def by_round(counts: OutcomeCounts, name: str) -> list[float]:
    """The mean of a column over the kept records of each round that has any, the first round first."""
    rounds = sorted({number for _, number, column in counts.counts if column == name})
    chosen = [[key for key in counts.counts if key[1:] == (number, name)] for number in rounds]
    totals = [(sum(counts.sums[key] for key in keys), sum(counts.counts[key] for key in keys)) for keys in chosen]
    return [total / number for total, number in totals if number]


def eta(found: Found, counts: OutcomeCounts) -> float | None:
    """Seconds that are left at the speed of the session under way; None where it has not said a speed yet."""
    last = found.sessions[-1] if found.sessions else None
    if last is None or not last.committed_rows or not last.seconds:
        return None
    return (found.accepted.index.asked_rows - counts.rows) / (last.committed_rows / last.seconds)


def groups(found: Found, counts: OutcomeCounts) -> list[dict[str, Any]]:
    """Outcomes and means by evolver and round."""
    evolvers = (found.run.get("configuration") or {}).get("evolvers") or {}
    lines = []
    for evolver, number in counts.groups():
        status = {KEPT: 0, REJECTED: 0, FAILED: 0}
        for (name, place, outcome, _), count in counts.outcomes.items():
            if (name, place) == (evolver, number):
                status[outcome] = status.get(outcome, 0) + count
        means = {item.name: counts.mean((evolver, number), item.name) for item in HEADLINES}
        model = ((evolvers.get(evolver) or {}).get("engine") or {}).get("model")
        lines.append({"evolver": evolver, "round": number, "model": model, **status, "means": means})
    return lines


def reasons(counts: OutcomeCounts) -> list[dict[str, Any]]:
    """Why records were not kept, the most frequent first, with the evolvers they are of."""
    totals: dict[tuple[str, str], dict[str, int]] = {}
    for (evolver, _, status, reason), count in counts.outcomes.items():
        if status != KEPT:
            of = totals.setdefault((status, reason), {})
            of[evolver] = of.get(evolver, 0) + count
    lines = [
        {"outcome": status, "reason": reason, "count": sum(of.values()), "evolvers": of}
        for (status, reason), of in totals.items()
    ]
    return sorted(lines, key=lambda line: -int(line["count"]))


def pool_lines(found: Found, running: bool = False) -> list[dict[str, Any]]:
    """What each pool has done, in the order in which rows pass; while it runs also what it waits for."""
    configuration = found.run.get("configuration") or {}
    parts = {pool_name(name): part for name, part in (configuration.get("evolvers") or {}).items()}
    parts |= {RESPOND: configuration.get("responder") or {}, SCORE: configuration.get("scorer") or {}}
    now = pools_now(found.sessions) if running else {}
    lines, before = list[dict[str, Any]](), list[str]()
    for name, stats in pools(found.sessions).items():
        part = parts.get(name) or {}
        model = (part.get("engine") or {}).get("model") or part.get("model")
        waits = waits_for(now[name], [] if is_evolver_pool(name) else before) if name in now else None
        lines.append({"name": name, "model": model, **stats, NOW: now.get(name), "waits_for": waits})
        before = [*before, name] if is_evolver_pool(name) else [name]
    return lines


def waits_for(now: Mapping[str, Any], before: list[str]) -> str | None:
    """What a pool waits for as it stood when it told, None where it is at work. `before` are the pools that feed it."""
    if not now["loading"] and not now["ready"]:
        return f"machines: {now['cause']}" if now.get("cause") else "machines: no actor of it has begun"
    if not now["ready"]:
        return f"its model, which {now['loading']} actor(s) load"
    if not now["in_flight"]:
        return f"rows from {', '.join(before)}" if before else "rows to begin with"
    return None


def coarse(by_evolver: Mapping[str, Counter[int]], low: float, width: float) -> dict[str, Any]:
    """Counts of fine bins, the first of which begins at `low`, in at most BINS between the middle 99 % of all."""
    whole = sum(by_evolver.values(), Counter[int]())
    if not whole:
        return {"low": 0.0, "high": 0.0, "evolvers": {}}
    places = np.array(sorted(whole))
    share = np.cumsum([whole[place] for place in places.tolist()]) / whole.total()
    first = int(places[np.searchsorted(share, 0.005)])
    last = int(places[min(int(np.searchsorted(share, 0.995)), len(places) - 1)])
    step = max(1, -(-(last - first + 1) // BINS))
    count = -(-(last - first + 1) // step)
    evolvers = {}
    for name, counts in by_evolver.items():
        bars = [0] * count
        for place, number in counts.items():
            bars[min(max((place - first) // step, 0), count - 1)] += number
        evolvers[name] = bars
    return {"low": low + first * width, "high": low + (first + count * step) * width, "evolvers": evolvers}
