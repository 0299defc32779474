"""What one execution on an output has done and taken, as the monitor shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ray_jobs.config.run import PoolConfig
from ray_jobs.output.run_files import Session
from ray_jobs.pipeline.monitor import PoolState, Snapshot


def session_of(
    number: int, started_at: datetime, snapshot: Snapshot, pools: Mapping[str, PoolConfig] | None = None
) -> Session:
    """The session as the monitor shows it now; what it has cost where `pools` say what an actor does."""
    seconds = (datetime.now(UTC) - started_at).total_seconds()
    stats = {
        name: {
            "seconds": round(pool.busy_seconds, 1),
            "actor_starts": pool.starts,
            "rows": pool.stats.done,
            "prompt_tokens": pool.stats.prompt_tokens,
            "completion_tokens": pool.stats.completion_tokens,
            "replies_given_again": pool.stats.given_again,
            **_spending(pool, pools[name] if pools else None),
        }
        for name, pool in snapshot.pools.items()
    }
    return Session(number, started_at.isoformat(), round(seconds, 1), snapshot.committed.rows, stats)


def _spending(state: PoolState, pool: PoolConfig | None) -> dict[str, float]:
    if pool is None:
        return {}
    hours = state.stats.held_seconds / 3600
    return {
        "held_seconds": round(state.stats.held_seconds, 1),
        "gpu_hours": round(hours * pool.gpus, 6),
        "cost": round(hours * pool.price, 6),
    }
