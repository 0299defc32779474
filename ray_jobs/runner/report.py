"""report.json: what a finished run tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ray_jobs.output.columns import MEANS
from ray_jobs.output.counts import CUT, CUT_SHARE, OutcomeCounts
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
        "pools": pools(sessions),
        "seconds": round(sum(session.seconds for session in sessions), 1),
        "sessions": [asdict(session) for session in sessions],
    }


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
