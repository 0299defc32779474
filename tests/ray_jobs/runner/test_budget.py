"""When a budget is spent: hand-made snapshots; a run that stops by it is in forecast/test_plan_command.py."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import BudgetSpent
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.run_files import Session
from ray_jobs.pipeline.monitor import PoolState, Snapshot, WorkerStats
from ray_jobs.runner.budget import SETTLE_SECONDS, Budget, Spending, spent_by
from ray_jobs.runner.sessions import session_of

POOLS = {"evolve_a": PoolConfig(size=2, gpus=4, price=10), "score": PoolConfig(size=1, gpus=0, price=0.5)}
NOTHING = Spending()


def snapshot(seconds: float, actors: int = 2) -> Snapshot:
    """Two actors of the evolver that have lived for `seconds` each, one of them loading, and a scorer."""
    lived = WorkerStats(held_seconds=2 * seconds, gpu_seconds=8 * seconds, price_seconds=20 * seconds)
    evolver = PoolState(lived, ready=actors - 1, loading=1)
    scorer = PoolState(WorkerStats(held_seconds=seconds, price_seconds=seconds / 2), ready=1)
    return Snapshot({"evolve_a": evolver, "score": scorer}, OutcomeCounts(), parts=0)


def budget(before: Spending, told: list[BudgetSpent], **allowed: float) -> Budget:
    limits = LimitsConfig.model_validate({"drain_seconds": 3600 - SETTLE_SECONDS, "budget": allowed})
    return Budget(limits, POOLS, before, stop=told.append)


def observed(seconds: float, before: Spending = NOTHING, actors: int = 2, **allowed: float) -> str:
    """Why the budget stops a run in that state, "" where it does not."""
    told: list[BudgetSpent] = []
    budget(before, told, **allowed).observe(snapshot(seconds, actors))
    return " ".join(map(str, told))


def test_without_a_budget_nothing_is_too_much() -> None:
    budget(NOTHING, []).check_start()
    assert not observed(1e9)


def test_what_ending_may_take_is_held_back() -> None:
    # an hour of ending takes eight GPU-hours more
    assert not observed(2 * 3600, gpu_hours=24)
    told = observed(2.1 * 3600, gpu_hours=24)
    assert re.search(r"limits.budget.gpu_hours allows 24: 16.8\d* are spent, and up to 8.000 more", told)


def test_metrics_are_told_how_much_of_each_bound_is_taken() -> None:
    assert budget(NOTHING, []).shares(snapshot(3600)) == {}
    before = Spending(gpu_hours=4, money=0.5)
    assert budget(before, [], gpu_hours=24, money=42).shares(snapshot(3600)) == {"gpu_hours": 0.5, "money": 0.5}


def test_an_actor_that_is_gone_costs_nothing_any_more() -> None:
    assert not observed(2.1 * 3600, actors=1, gpu_hours=21)


def test_money_counts_pools_without_gpus_too() -> None:
    # 2 x 10 + 0.5 an hour
    assert not observed(3600, money=41)
    told = observed(3600, money=40.9)
    assert "limits.budget.money allows 40.9: 20.500 are spent, and up to 20.500 more" in told


def test_earlier_sessions_count() -> None:
    session = session_of(1, datetime.now(UTC), snapshot(3600))
    before = spent_by([session, session])
    assert before == Spending(gpu_hours=16, money=41)
    budget(before, [], gpu_hours=24).check_start()
    with pytest.raises(BudgetSpent, match=r"16.000 are spent"):
        budget(before, [], gpu_hours=23.9).check_start()
    assert observed(3600, before, gpu_hours=30)


def test_sessions_of_earlier_versions_have_cost_nothing_that_is_known() -> None:
    assert spent_by([Session(1, "then", 5.0, 3, {"evolve_a": {"seconds": 5.0, "rows": 3}})]) == NOTHING
