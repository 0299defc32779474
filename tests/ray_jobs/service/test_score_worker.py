"""Pairs of many requests in one call of the scorer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from ray_jobs.service.score_worker import PAIRS, PASSES, ScoreWorker
from scoring.records import Pair, Scores, Scoring
from scoring.scripted import ScriptedScorer


def pairs(start: int, number: int) -> list[dict[str, Any]]:
    return [{"instruction": f"Task {item}", "input": "", "output": "ok"} for item in range(start, start + number)]


class Held(ScriptedScorer):
    """Scores once it may, and notes how much it was given at a time."""

    def __init__(self) -> None:
        self.may, self.sizes = threading.Event(), list[int]()

    def score(self, pairs: Sequence[Pair]) -> list[Scores]:
        self.may.wait(10)
        self.sizes.append(len(pairs))
        if any("broken" in pair.output for pair in pairs):
            raise RuntimeError("no memory")
        return super().score(pairs)


def test_requests_that_wait_go_into_one_call_and_each_gets_its_own() -> None:
    scorer = Held()

    async def ask() -> list[list[dict[str, Any]]]:
        worker = ScoreWorker(Scoring(scorer))
        asked = [asyncio.ensure_future(worker.score(pairs(10 * number, 2 + number))) for number in range(PASSES)]
        await asyncio.sleep(0.05)
        asked += [asyncio.ensure_future(worker.score(pairs(100 * number, 3))) for number in range(1, 5)]
        asked.append(asyncio.ensure_future(worker.score(pairs(0, PAIRS))))
        await asyncio.sleep(0.05)
        scorer.may.set()
        return list(await asyncio.gather(*asked))

    found = asyncio.run(ask())
    # the first two came at once; what waited went together as far as one call may be large
    assert sorted(scorer.sizes) == [5, 12, PAIRS]
    plain = ScriptedScorer()
    for number in range(1, 5):
        expected = plain.score([Pair(item["instruction"], "", "ok") for item in pairs(100 * number, 3)])
        assert [item["ic_ifd"] for item in found[PASSES + number - 1]] == [item.ic_ifd for item in expected]


def test_a_call_that_fails_fails_its_requests_alone() -> None:
    async def ask() -> None:
        scorer = Held()
        scorer.may.set()
        worker = ScoreWorker(Scoring(scorer))
        with pytest.raises(RuntimeError, match="no memory"):
            await worker.score([{"instruction": "a", "input": "", "output": "broken"}])
        assert len(await worker.score(pairs(0, 1))) == 1

    asyncio.run(ask())
