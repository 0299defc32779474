"""report.json: what a finished run tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ray_jobs.output.columns import MEANS
from ray_jobs.output.counts import CUT, CUT_SHARE, PAIRS, OutcomeCounts
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.manifest import Manifest
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.run_files import Session, pools, reasons
from ray_jobs.output.schema import FAILED, KEPT, REJECTED


def make_report(
    plan: PlanIndex, records_per_row: int, labels: RunLabels, found: Manifest, sessions: Sequence[Session]
) -> dict[str, Any]:
    """The content of report.json. `reconciles` says whether every planned row and record has one outcome.

    A row gives `records_per_row` records, a seed that cannot be read gives one.
    """
    outcome_counts = found.outcome_counts()
    by_status = outcome_counts.by_status()
    planned = plan.asked_records(records_per_row)
    return {
        "run_id": labels.constants["run_id"],
        "written_at": datetime.now(UTC).isoformat(),
        "seeds": {
            "usable": plan.usable_seeds,
            "duplicates": plan.duplicates,
            "held_out": plan.held_out,
            "gone": plan.gone_seeds,
            "unreadable": dict(plan.unreadable),
        },
        "seed_notes": plan.seed_notes,
        "rows": {"planned": plan.asked_rows, "done": outcome_counts.rows},
        "records": {"planned": planned, **{status: by_status[status] for status in (KEPT, REJECTED, FAILED)}},
        "reconciles": outcome_counts.rows == plan.asked_rows and by_status.total() == planned,
        "reasons": reasons(outcome_counts),
        CUT_SHARE: outcome_counts.share(CUT),
        "groups": _groups(labels, outcome_counts),
        PAIRS: _pairs(outcome_counts),
        "cost": _cost(pools(sessions), by_status[KEPT], _pairs(outcome_counts)),
        "pools": pools(sessions),
        "seconds": round(sum(session.seconds for session in sessions), 1),
        "sessions": [asdict(session) for session in sessions],
    }


def _pairs(outcome_counts: OutcomeCounts) -> int:
    return int(sum(number for (_, _, column), number in outcome_counts.sums.items() if column == PAIRS))


def _cost(pools: Mapping[str, Mapping[str, Any]], kept: int, pairs: int) -> dict[str, float | None]:
    """In the money of the pools' prices; null where no pool has one, or there is nothing to share it."""
    whole = sum(float(pool.get("cost", 0)) for pool in pools.values())
    shares = {"total": 1, "per_kept_record": kept, "per_pair": pairs}
    return {name: round(whole / number, 6) if whole and number else None for name, number in shares.items()}


def _groups(labels: RunLabels, outcome_counts: OutcomeCounts) -> list[dict[str, Any]]:
    groups = []
    for evolver, number in outcome_counts.groups():
        counts: Counter[str] = Counter()
        for (name, place, status, _), count in outcome_counts.outcomes.items():
            if (name, place) == (evolver, number):
                counts[status] += count
        model = labels.evolver_models.get(evolver)
        means = {column.mean_name: outcome_counts.mean((evolver, number), column.name) for column in MEANS}
        statuses = {status: counts[status] for status in (KEPT, REJECTED, FAILED)}
        cut = {CUT_SHARE: outcome_counts.mean((evolver, number), CUT)}
        groups.append({"evolver": evolver, "evolver_model": model, "round": number, **statuses, **means, **cut})
    return groups
