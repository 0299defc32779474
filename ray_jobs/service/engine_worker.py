"""One loaded engine of the service: what a replica does with the work that the gateway sends, free of Ray.

Rows and prompts go through the engine as in the pools of a run; whoever waits hears of rounds and texts as they come.
Work of batch runs may not take the last `free` of the engine's places: an engine admits nobody while it is full.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar

from evolve.current_row import ROW
from evolve.engine import Engine
from evolve.errors import EngineDied, PromptRefused, SettingsRefused
from evolve.flow import drive
from evolve.listening import PIECE, ROUND, URGENCY, URGENT
from evolve.records import Completion, Instruction, Round
from ray_jobs.output.rounds import RoundRow, failed_rounds, round_rows
from ray_jobs.pipeline.actors import Answers, RespondTask, under
from ray_jobs.pipeline.gate import Turns
from ray_jobs.service.hearing import End, heard
from ray_jobs.service.work import Call, Question, Trial, Trouble

log = logging.getLogger(__name__)
Found = TypeVar("Found")


class EngineWorker:
    """Works on one engine, `free` of whose places are left to people."""

    def __init__(self, engine: Engine, free: int) -> None:
        self._engine = engine
        places = engine.max_concurrency
        self._batch = Turns(sys.maxsize if places is None else max(1, places - free))
        self.died: str | None = None

    async def trial(self, trial: Trial) -> AsyncIterator[RoundRow | Trouble]:
        """The rounds of a row, each as it ends. Like a run's row it has as many as its strategy says, failed or not."""
        results = list[Round]()

        async def evolve(tell: Callable[[Round], None]) -> list[RoundRow] | Trouble:
            ROUND.set(tell)
            row = trial.row
            seed = Instruction(row["seed_instruction"], row["input"])
            rng = Random(f"{trial.seed} evolve {row['row_id']}")
            flow = trial.strategy.evolve(seed, row["seed_index"], rng)
            return await self._failing(drive(flow, under(self._engine, trial.adapter), confidence=False), trial)

        async for item in heard(evolve):
            if not isinstance(item, End):
                results.append(item)
                yield round_rows(results)[-1]
            elif isinstance(item.result, Trouble):
                yield item.result
            else:
                # a strategy that does not tell its rounds, or one that raised
                for row in item.result[len(results) :]:
                    yield row

    async def answer(self, question: Question) -> RoundRow | Trouble:
        """A round with its answer, or with why there is none."""
        ROW.set(question.row["row_id"])
        URGENCY.set(URGENT)
        answers = Answers(RespondTask(question.responder, question.seed), under(self._engine, question.adapter))
        round_row = dict(question.round_row)
        found = await self._asked(answers.answer(question.row, round_row))
        return found if isinstance(found, Trouble) else round_row

    async def complete(self, call: Call) -> Completion | Trouble:
        """The completion of one prompt."""
        URGENCY.set(call.urgency)
        async with self._place(call.urgency):
            return await self._asked(self._engine.generate(call.prompt))

    async def stream(self, call: Call) -> AsyncIterator[str | Completion | Trouble]:
        """The pieces of a completion as they come, as far as the engine tells them, and then all of it."""

        async def write(tell: Callable[[str], None]) -> Completion | Trouble:
            PIECE.set(tell)
            return await self.complete(call)

        async for item in heard(write):
            yield item.result if isinstance(item, End) else item

    async def close(self) -> None:
        """Free what the engine holds."""
        await self._engine.close()

    @asynccontextmanager
    async def _place(self, urgency: int) -> AsyncIterator[None]:
        if urgency <= URGENT:
            yield
            return
        async with self._batch:
            yield

    async def _asked(self, work: Awaitable[Found]) -> Found | Trouble:
        """What `work` comes to, or why the engine did not do it."""
        try:
            return await work
        except PromptRefused as refused:
            return Trouble("prompt", str(refused))
        except EngineDied as died:
            if not isinstance(died, SettingsRefused):
                self.died = str(died)
            log.error("%s", died)
            return Trouble("engine", str(died))

    async def _failing(self, work: Awaitable[list[Round]], trial: Trial) -> list[RoundRow] | Trouble:
        """The rounds of `work`; failed ones where it raises what is neither the engine's fault nor the prompt's."""
        ROW.set(trial.row["row_id"])
        URGENCY.set(URGENT)
        try:
            found = await self._asked(work)
            return found if isinstance(found, Trouble) else round_rows(found)
        except Exception as error:  # whatever a plug-in's own code raises
            log.warning("evolve of row %s failed", ROW.get(), exc_info=True)
            return failed_rounds(range(1, trial.strategy.rounds + 1), "evolve", error)
