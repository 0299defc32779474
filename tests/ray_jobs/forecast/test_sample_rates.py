"""From a sample to rates with their ranges: hand-made samples whose rows differ in one way at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from evolve.engines.recording_engine import Call
from ray_jobs.forecast.rates import Rates
from ray_jobs.forecast.sample import PoolSample, Sample
from ray_jobs.forecast.sample_rates import SeedStats, intervals

POOL = "evolve_a"


def sample(tokens: Sequence[int], seconds: Sequence[float]) -> Sample:
    """Rows of one evolver, a seed each, on an engine that takes one call after the other."""
    calls, now = list[Call](), 0.0
    for number, (written, taken) in enumerate(zip(tokens, seconds, strict=True)):
        calls.append(Call(f"row{number}", 0.0, now := now + taken, 0, written))
    item = {"status": "kept", "instruction": "x", "output": "y", "trajectory": None}
    rows = [{"row_id": call.row, "seed_id": f"seed{call.row}", "evolver": "a", "rounds": [item]} for call in calls]
    pool = PoolSample(0.0, 1.0, calls, {call.row: (0, call.completion_tokens) for call in calls}, max_concurrency=1)
    return Sample({POOL: pool}, rows, 1000)


def ranges(of: Sample) -> dict[str, tuple[float, float]]:
    stats = SeedStats.of(of)

    def numbers(rates: Rates) -> dict[str, float]:
        rate = rates.pools[POOL]
        return {"seconds a row": rate.seconds_per_row, "tokens a row": rate.completion_tokens}

    return intervals(stats, numbers)


def test_rows_that_take_their_time_widen_the_range_whatever_their_tokens() -> None:
    found = ranges(sample([50] * 100, [1.0, 3.0] * 50))
    assert found["tokens a row"] == (50, 50)
    # a mean of two seconds, known to a tenth of the standard deviation of one
    low, high = found["seconds a row"]
    assert low == pytest.approx(2 - 1.96 / math.sqrt(100), abs=0.05)
    assert high == pytest.approx(2 + 1.96 / math.sqrt(100), abs=0.05)


def test_where_all_rows_are_alike_nothing_is_uncertain() -> None:
    found = ranges(sample([50] * 100, [2.0] * 100))
    assert found["seconds a row"] == pytest.approx((2, 2))


def test_seconds_follow_tokens_where_each_takes_as_long() -> None:
    found = ranges(sample([20, 60] * 50, [1.0, 3.0] * 50))
    low, high = found["tokens a row"]
    assert low < 40 < high
    assert found["seconds a row"] == pytest.approx((low / 20, high / 20))
