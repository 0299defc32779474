"""The arithmetic of a forecast: what sets the pace, what it costs, which sizes balance the pools."""

from __future__ import annotations

import pytest

from ray_jobs.config.pools import PoolConfig
from ray_jobs.forecast.forecast import fastest, forecast
from ray_jobs.forecast.rates import PoolRate, Rates

STAGES = [["evolve_small", "evolve_large"], ["respond"], ["score"]]
ROWS = {"evolve_small": 4000, "evolve_large": 2000, "respond": 6000, "score": 6000}


def rates() -> Rates:
    return Rates(
        pools={
            # 0.1, 0.6, 0.25 and 0.01 seconds a row
            "evolve_small": PoolRate(
                tokens_per_second=10_000, prompt_tokens=600, completion_tokens=400, load_seconds=60
            ),
            "evolve_large": PoolRate(
                tokens_per_second=2_000, prompt_tokens=800, completion_tokens=400, load_seconds=300, block_seconds=40
            ),
            "respond": PoolRate(tokens_per_second=4_000, prompt_tokens=500, completion_tokens=500, block_seconds=30),
            "score": PoolRate(tokens_per_second=100_000, prompt_tokens=1_000, completion_tokens=0, block_seconds=2),
        },
        bytes_per_row=2_000,
        records_per_row={"kept": 2.5, "rejected": 0.5},
    )


def pools() -> dict[str, PoolConfig]:
    return {
        "evolve_small": PoolConfig(min_size=1, max_size=2, gpus=1, price=2),
        "evolve_large": PoolConfig(size=2, gpus=4, price=10),
        "respond": PoolConfig(size=3, gpus=4, price=10),
        "score": PoolConfig(size=1, gpus=1, price=1),
    }


def test_the_slowest_pool_sets_the_pace_and_the_others_idle() -> None:
    found = forecast(rates(), pools(), ROWS, STAGES)
    assert found.bottleneck == "evolve_large"
    assert found.stream_seconds == pytest.approx(2000 * 0.6 / 2)
    assert found.rows_per_second == pytest.approx(6000 / 600)
    assert found.load_seconds == 300
    # 40 + 30 + 2 on the way, less half of the evolver's 40
    assert found.seconds == pytest.approx(300 + 600 + 52)
    busy = {pool.name: pool.stream_seconds / found.stream_seconds for pool in found.pools}
    assert busy == pytest.approx({"evolve_small": 200 / 600, "evolve_large": 1, "respond": 500 / 600, "score": 0.1})


def test_tokens_bytes_records_and_costs_add_up() -> None:
    found = forecast(rates(), pools(), ROWS, STAGES)
    assert found.tokens == 4000 * 1000 + 2000 * 1200 + 6000 * 1000 + 6000 * 1000
    assert found.bytes == 12_000_000
    assert found.records == {"kept": 15_000, "rejected": 3_000}
    hours = found.seconds / 3600
    assert found.gpu_hours == pytest.approx((2 + 8 + 12 + 1) * hours)
    assert found.cost == pytest.approx((2 * 2 + 2 * 10 + 3 * 10 + 1) * hours)


def test_lean_sizes_are_as_fast_with_fewer_actors() -> None:
    found = forecast(rates(), pools(), ROWS, STAGES)
    assert found.lean == {"evolve_small": 1, "evolve_large": 2, "respond": 3, "score": 1}
    lean = {
        name: pool.model_copy(update={"size": found.lean[name], "max_size": None, "min_size": None})
        for name, pool in pools().items()
    }
    assert forecast(rates(), lean, ROWS, STAGES).rows_per_second == found.rows_per_second


def test_fast_sizes_move_gpus_to_the_slowest_pool() -> None:
    work = {"a": 100.0, "b": 900.0}
    assert fastest(work, {"a": 5, "b": 5}, {"a": 1, "b": 1}) == {"a": 1, "b": 9}
    # an actor of b takes four cards; three that are left go nowhere, for a is not what is waited for
    assert fastest(work, {"a": 8, "b": 1}, {"a": 1, "b": 4}) == {"a": 1, "b": 2}


def test_pools_without_gpus_keep_their_sizes_beside_others_and_are_counted_alone() -> None:
    work = {"a": 100.0, "b": 900.0, "c": 1.0}
    assert fastest(work, {"a": 5, "b": 5, "c": 7}, {"a": 1, "b": 1, "c": 0}) == {"a": 1, "b": 9, "c": 7}
    assert fastest(work, {"a": 5, "b": 5, "c": 2}, {"a": 0, "b": 0, "c": 0}) == {"a": 2, "b": 9, "c": 1}
