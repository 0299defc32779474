"""How an output stands, and what a recount found, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ray_jobs.cli.status import status
from ray_jobs.jobs.stores import stores_of
from ray_jobs.output import run_files
from ray_jobs.output.verify import verify
from ray_jobs.storage.store import Store


def status_document(store: Store) -> dict[str, Any]:
    """The state of each phase that has begun; the phase of a run without phases is named "". Raises OutputError."""
    return {"phases": {name: _phase(item) for name, item in stores_of(store).items()}}


def verify_document(store: Store) -> dict[str, Any]:
    """What a recount found in each phase, and whether all of it is sound. Raises OutputError where nothing is."""
    phases = {name: asdict(verify(item)) for name, item in stores_of(store).items()}
    return {"sound": not any(phase["problems"] for phase in phases.values()), "phases": phases}


def _phase(store: Store) -> dict[str, Any]:
    state = status(store)
    counts, holder = state.outcome_counts, state.holder
    return {
        "finished": state.finished,
        # null where only its heartbeat can tell whether it lives
        "running": holder.alive if holder else False,
        "holder": str(holder) if holder else None,
        "seeds": {
            "usable": state.plan.seeds,
            "duplicates": state.plan.duplicates,
            "unreadable": state.plan.unreadable.total(),
        },
        "rows": {"planned": state.plan.rows, "done": counts.rows},
        "records": dict(counts.by_status()),
        "reasons": dict(run_files.reasons(counts)),
        "sessions": len(state.sessions),
    }
