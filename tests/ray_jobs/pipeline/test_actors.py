"""An evolver's actor by itself: in what order it takes rows, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from evolve.engines.recording_engine import Call
from ray_jobs.config.engines import build_strategy
from ray_jobs.forecast.sample import sampled
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.pipeline.actor import ActorContext
from ray_jobs.pipeline.actors import EvolveActor, EvolveTask, in_share
from ray_jobs.pipeline.monitor import Monitor
from tests.ray_jobs.samples import run_config

ROUNDS = 3
SLOTS = 8
ROWS_A_BLOCK = 20
IDS = [f"row{number:03d}" for number in range(3 * ROWS_A_BLOCK)]


def planned(ids: list[str]) -> pa.Table:
    rows = [
        {
            "plan_row": number,
            "row_id": row_id,
            "seed_id": row_id,
            "seed_index": number,
            "evolver": "a",
            "sample": 0,
            "seed_instruction": f"Explain {row_id}.",
            "input": "",
        }
        for number, row_id in enumerate(ids)
    ]
    return pa.Table.from_pylist(rows, PLAN_SCHEMA)


@pytest.fixture
def calls(local_ray: None, tmp_path: Path) -> list[Call]:
    """Those of three blocks that an actor has at once, on an engine whose replies differ in length."""
    engine = {"kind": "scripted", "slots": SLOTS, "decode_rate": 2000, "sigma": 0.6}
    run = run_config(tmp_path, evolvers={"a": {"engine": engine}})
    monitor = Monitor.create(["evolve_a"])
    task = EvolveTask(build_strategy(run.strategy), run.seed, run.keep_rounds)
    actor = sampled(EvolveActor)(task, ActorContext("evolve_a", run.evolvers["a"].engine, monitor, first=True))

    async def three() -> None:
        blocks = [planned(IDS[first : first + ROWS_A_BLOCK]) for first in range(0, len(IDS), ROWS_A_BLOCK)]
        await asyncio.gather(*map(actor, blocks))

    asyncio.run(three())
    return list(actor.calls())


def spans(calls: list[Call]) -> dict[str, tuple[float, float]]:
    """From when to when each row was under way."""
    own = {row: [call for call in calls if call.row == row] for row in IDS}
    return {row: (min(c.began for c in mine), max(c.ended for c in mine)) for row, mine in own.items()}


def rows_under_way(under_way: dict[str, tuple[float, float]]) -> Iterator[int]:
    """How many there were whenever one began."""
    for began, _ in under_way.values():
        yield sum(start <= began < end for start, end in under_way.values())


def test_rows_begin_in_order_and_no_more_than_keep_the_engine_full(calls: list[Call]) -> None:
    assert len(calls) == ROUNDS * len(IDS)
    under_way = spans(calls)
    assert sorted(IDS, key=lambda row: under_way[row][0]) == IDS
    assert SLOTS < max(rows_under_way(under_way)) <= 1.25 * SLOTS
    # rows of the first block are through all rounds before the last block begins
    first, last = IDS[:ROWS_A_BLOCK], IDS[-ROWS_A_BLOCK]
    assert max(under_way[row][1] for row in first) < under_way[last][0]


def test_a_share_of_the_rows_is_the_same_rows_whenever_they_run() -> None:
    ids = [f"{number:032x}" for number in range(4000)]
    some = {row for row in ids if in_share(row, 0.05)}
    assert 140 < len(some) < 260
    assert some <= {row for row in ids if in_share(row, 0.2)}
    assert not any(in_share(row, 0) for row in ids)
    assert all(in_share(row, 1) for row in ids)
