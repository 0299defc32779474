"""The service's scorer: pairs of many requests in one call of the scorer, whose numbers are those of a run's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ray_jobs.pipeline.scores import score_rounds
from scoring.records import Scoring

PASSES = 2
"""Calls at once: while one has the model, the next is tokenised."""
PAIRS = 4096
"""How many pairs of waiting requests go into one call."""
SCORES = (
    *("ifd", "ic_ifd", "loss_q", "loss_a_given_q", "loss_a", "n_q", "n_a"),
    *("instruction_length", "reward", "score_note"),
)
"""The columns of scores that are told, as far as the scorer has them."""

Pair = dict[str, Any]
"""With `instruction`, `input` and `output`; `reasoning` as well where the scorer reads it."""
_Waiting = tuple[Sequence[Pair], asyncio.Future[list[dict[str, Any]]]]


class ScoreWorker:
    """Scores pairs. Requests that come while the model is busy go into the next call together."""

    def __init__(self, scoring: Scoring, with_reasoning: bool = False) -> None:
        self._scoring, self._with_reasoning = scoring, with_reasoning
        self._waiting: list[_Waiting] = []
        self._passes: set[asyncio.Task[None]] = set()

    async def score(self, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """The scores of each pair under the names of their columns, in order."""
        future: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
        self._waiting.append((pairs, future))
        if len(self._passes) < PASSES:
            task = asyncio.get_running_loop().create_task(self._work())
            self._passes.add(task)
            task.add_done_callback(self._passes.discard)
        return await future

    async def _work(self) -> None:
        while self._waiting:
            taken = self._take()
            try:
                found = iter(await asyncio.to_thread(self._scored, [pair for pairs, _ in taken for pair in pairs]))
            except Exception as error:  # whoever waits is to raise it, and others go on
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)
                continue
            for pairs, future in taken:
                scores = [next(found) for _ in pairs]
                if not future.done():
                    future.set_result(scores)

    def _take(self) -> list[_Waiting]:
        """Requests from the front, as many as go into one call, at least one."""
        taken, size = list[_Waiting](), 0
        while self._waiting and (not taken or size + len(self._waiting[0][0]) <= PAIRS):
            taken.append(self._waiting.pop(0))
            size += len(taken[-1][0])
        return taken

    def _scored(self, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        rounds = [({"input": pair["input"]}, dict(pair)) for pair in pairs]
        score_rounds(self._scoring, rounds, self._with_reasoning)
        return [{name: item[name] for name in SCORES if name in item} for _, item in rounds]
