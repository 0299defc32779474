"""How an output stands, and what a recount found, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ray_jobs.cli.status import status
from ray_jobs.jobs.method_search import searches
from ray_jobs.jobs.stores import stores_of
from ray_jobs.output import lease, run_files
from ray_jobs.output.lease import Holder
from ray_jobs.output.usage import usage
from ray_jobs.output.verify import verify
from ray_jobs.storage.store import Store


def status_document(store: Store) -> dict[str, Any]:
    """The state of each phase that has begun; the phase of a run without phases is named "". Of a search, its state.

    Raises OutputError.
    """
    if searches.is_search(store):
        return {"search": _search(store), "bytes": usage(store)}
    return {"phases": {name: _phase(item) for name, item in stores_of(store).items()}, "bytes": usage(store)}


def verify_document(store: Store) -> dict[str, Any]:
    """What a recount found in each phase, and whether all of it is sound. Raises OutputError where nothing is."""
    phases = {name: asdict(verify(item)) for name, item in stores_of(store).items()}
    return {"sound": not any(phase["problems"] for phase in phases.values()), "phases": phases}


def method_document(store: Store) -> dict[str, Any]:
    """The method of a search; null before its first step is finished. Raises DamagedOutput."""
    state = searches.saved_state(store)
    return {"method": json.loads(state.method.to_json()) if state else None}


def _phase(store: Store) -> dict[str, Any]:
    state = status(store)
    counts, holder = state.outcome_counts, state.holder
    return {
        "finished": state.finished,
        "ended": state.ended,
        **_held(holder),
        "seeds": {
            "usable": state.plan.usable_seeds,
            "gone": state.plan.gone_seeds,
            "duplicates": state.plan.duplicates,
            "unreadable": state.plan.unreadable.total(),
        },
        "rows": {"planned": state.plan.asked_rows, "done": counts.rows},
        "records": dict(counts.by_status()),
        "reasons": dict(run_files.reasons(counts)),
        "sessions": len(state.sessions),
        "replies_given_again": sum(
            pool.get("replies_given_again", 0) for pool in run_files.pools(state.sessions).values()
        ),
    }


def _search(store: Store) -> dict[str, Any]:
    state = searches.saved_state(store)
    return {
        "finished": bool(state and state.stopped),
        "stopped": state.stopped if state else None,
        **_held(lease.current(store)),
        "steps": len(state.log) if state else 0,
        "failure_rates": list(state.method.failure_rates) if state else [],
    }


def _held(holder: Holder | None) -> dict[str, Any]:
    # null where only its heartbeat can tell whether it lives
    return {"running": holder.alive if holder else False, "holder": str(holder) if holder else None}
