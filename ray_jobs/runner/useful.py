"""Whether a run that has an outcome for every row has come to anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray_jobs.config.pool_names import SCORE
from ray_jobs.errors import NothingUseful, SeedError
from ray_jobs.output.epochs import Epoch
from ray_jobs.output.examples import score_note
from ray_jobs.output.manifest import Entry
from ray_jobs.output.plan_index import UNREADABLE, PlanIndex
from ray_jobs.pipeline.job import PooledJob

IFD = "ifd"


def check_useful(job: PooledJob, epoch: Epoch, plan: PlanIndex, report: dict[str, Any]) -> None:
    """Raise SeedError where no seed was usable, NothingUseful where no record is kept, or none of them has scores."""
    kept, planned = report["records"]["kept"], report["records"]["planned"]
    if all(file.evolver == UNREADABLE for file in plan.files):
        unread = plan.unreadable.total()
        why = f"no usable seed: {unread:,} rows could not be read" if unread else "nothing that was read is for it"
        raise SeedError(f"{epoch.store.url}: {why}")
    if not kept:
        reason, count = next(iter(report["reasons"].items()), ("no reason is known", 0))
        example = report["reason_examples"].get(reason)
        raise NothingUseful(
            f"nothing was kept of {planned:,} records; {count:,} {reason}{f': {example}' if example else ''}", report
        )
    if SCORE in job.pipeline.pools() and not _scored(epoch.accepted.parts):
        note = score_note(epoch) or "the scorer gave none"
        raise NothingUseful(f"none of the {kept:,} kept records has a score; the first says: {note}", report)


def _scored(parts: Sequence[Entry]) -> bool:
    return any(
        count for entry in parts for (_, _, column), count in entry.outcome_counts.counts.items() if column == IFD
    )
