"""What people see of a search: its engines while they work, and report.json at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from evolve.method_search.state import OptimiserState, StepLog
from ray_jobs.output.run_files import Session, pools
from ray_jobs.pipeline.monitor import PoolState, Snapshot
from ray_jobs.runner.sessions import session_of
from ray_jobs.storage.store import Store

LINE_SECONDS = 30.0


class SearchDisplay:
    """Says every half minute what each engine does, and writes the session down as often.

    `given_again` counts the prompts of each engine that were answered before.
    """

    def __init__(self, store: Store, number: int, say: Callable[[str], None], given_again: Mapping[str, int]) -> None:
        self._store, self._number, self._say, self._given_again = store, number, say, given_again
        self._started, self._said = datetime.now(UTC), time.monotonic()
        self._latest: Snapshot | None = None

    def observe(self, snapshot: Snapshot) -> None:
        """Take the latest state of all engines."""
        self._latest = snapshot
        for name, pool in snapshot.pools.items():
            # actors are not asked for these
            pool.stats.given_again = self._given_again.get(name, 0)
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            for name, pool in snapshot.pools.items():
                self._say(_line(name, pool))
            self.save()

    def save(self) -> None:
        """Write the session as it is now."""
        if self._latest:
            session_of(self._number, self._started, self._latest).save(self._store)


def _line(name: str, pool: PoolState) -> str:
    stats = pool.stats
    loading = f", {pool.loading} loading" if pool.loading else ""
    again = f", {stats.given_again:,} replies known from before" if stats.given_again else ""
    return (
        f"  {name}: {stats.done:,} prompts done, {pool.in_flight:,} in flight, "
        f"{stats.completion_tokens:,} tokens written, {pool.ready} ready{loading}{again}"
    )


def search_report(state: OptimiserState, sessions: Sequence[Session]) -> dict[str, Any]:
    """The content of report.json. `optimiser` counts candidates by how the optimiser's pass for them ended."""
    candidates = [candidate for step in state.log for candidate in step.candidates]
    return {
        "search": state.search,
        "written_at": datetime.now(UTC).isoformat(),
        "stopped": state.stopped,
        "method": {"fingerprint": state.method.fingerprint, "parent": state.method.parent, "step": state.method.step},
        "failure_rates": list(state.method.failure_rates),
        "steps": [_step(step) for step in state.log],
        "optimiser": {
            "candidates": len(candidates),
            "rewriting_replies": sum(candidate.proposal.attempts for candidate in candidates),
            **Counter(candidate.proposal.outcome for candidate in candidates),
        },
        "pools": pools(sessions),
        "seconds": round(sum(session.seconds for session in sessions), 1),
        "sessions": [asdict(session) for session in sessions],
    }


def _step(step: StepLog) -> dict[str, Any]:
    return {
        "step": step.step,
        "method": step.method,
        "failure_rate": step.score.rate,
        "failures": step.score.failures,
        "chosen": step.chosen,
        "candidates": [
            {
                "outcome": candidate.proposal.outcome,
                "attempts": candidate.proposal.attempts,
                "failure_rate": candidate.score.rate if candidate.score else None,
                "failures": candidate.score.failures if candidate.score else {},
            }
            for candidate in step.candidates
        ],
    }
