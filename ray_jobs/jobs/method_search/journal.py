"""What engines answered in the step of a search that is not saved yet: a search that goes on asks only for the rest.

A step stands where a run's rows do: its replies go once it is saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from evolve.engine import Engine
from evolve.records import Completion, Prompt
from evolve.replies import REPLIES, JournalEngine, RowReplies
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import StorageError
from ray_jobs.output.replies import remove_done
from ray_jobs.pipeline.journal import Journal, JournalPlace, interval


class StepEngine:
    """`engine`, which is asked nothing twice in a step. Without a `journal` it is asked everything."""

    def __init__(self, engine: Engine, journal: Journal | None, given: Callable[[Completion], None]) -> None:
        self._engine, self._journal, self._given = JournalEngine(engine), journal, given
        self._replies: RowReplies | None = None
        self.max_concurrency = engine.max_concurrency

    def begin(self, step: int) -> None:
        """What is asked from now on belongs to this step."""
        if self._journal:
            self._replies = self._journal.begin([step]).row(step, self._given)

    def flush(self) -> None:
        """Write what waits."""
        if self._journal:
            self._journal.flush()

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`."""
        REPLIES.set(self._replies)
        return await self._engine.generate(prompt)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


class StepJournal:
    """The replies of a search's step, by role. `place` is where they lie; `stage` and `seconds` are each role's own."""

    def __init__(self, place: JournalPlace, limits: LimitsConfig, may: Callable[[], None]) -> None:
        self._place, self._limits, self._may = place, limits, may
        self._engines = list[StepEngine]()
        self.given_again = Counter[str]()

    def over(self, role: str, engine: Engine, name: str, model: EngineConfig) -> StepEngine:
        """The engine of a role, which is called `name` and has this model, as a search is to use it."""
        seconds = interval(self._limits, model)
        journal = None if seconds is None else Journal(replace(self._place, stage=role, seconds=seconds))

        def given(_: Completion) -> None:
            self.given_again[name] += 1

        self._engines.append(StepEngine(engine, journal, given))
        return self._engines[-1]

    def begin(self, step: int) -> None:
        """A step begins; those before it are saved. Raises where the output is not ours any more."""
        self._forget(step)
        for engine in self._engines:
            engine.begin(step)

    def end(self, steps: int) -> None:
        """The search ends, or is stopped, with so many steps saved."""
        for engine in self._engines:
            engine.flush()
        self._forget(steps)

    def _forget(self, steps: int) -> None:
        # a cache: what cannot be removed now is removed another time
        with suppress(StorageError):
            remove_done(self._place.store, np.ones(steps, dtype=np.bool_), self._may)
