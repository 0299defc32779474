"""A configuration's engines in this process, where a service has replicas: for a look at what they do, without Ray."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from evolve.records import Completion
from ray_jobs.errors import JobError, PoolError
from ray_jobs.output.rounds import RoundRow
from ray_jobs.pipeline.actor import load_engine
from ray_jobs.service.engine_worker import EngineWorker
from ray_jobs.service.engines import Condition, Figures, Loaded, Roster
from ray_jobs.service.score_worker import Pair, ScoreWorker
from ray_jobs.service.work import Call, Question, Trial, Trouble

Model = TypeVar("Model")
MESSAGE_CHARACTERS = 500


class LocalEngines:
    """Engines as the routes of a service see them, each loaded when it is first asked, and kept.

    Those on cards take turns: one is loaded once nobody wants the one before, which is closed. `loading` hears
    the name of each that is about to be loaded. For use within one event loop, which stands still while one is loaded.
    """

    def __init__(self, roster: Roster, free: int = 0, loading: Callable[[str], None] = lambda _: None) -> None:
        self.roster, self._free, self._loading = roster, free, loading
        self.figures: Mapping[str, Figures] = {item.name: Figures() for item in roster.loaded}
        self._models = {item.name: item for item in roster.loaded}
        self._workers = dict[str, EngineWorker]()
        self._scorers = dict[str, ScoreWorker]()
        self._wanted, self._holder = Counter[str](), ""
        self.failed: JobError | None = None
        """Why a model could not be loaded; then none is any more."""
        self._changed = asyncio.Condition()

    async def trial(self, loaded: str, trial: Trial) -> AsyncIterator[RoundRow | Trouble]:
        """As Engines says."""
        async with self._engine(loaded) as worker:
            async for item in worker.trial(trial):
                yield item

    async def answer(self, loaded: str, question: Question) -> RoundRow | Trouble:
        """As Engines says."""
        async with self._engine(loaded) as worker:
            return await worker.answer(question)

    async def complete(self, loaded: str, call: Call) -> Completion | Trouble:
        """As Engines says."""
        async with self._engine(loaded) as worker:
            return await worker.complete(call)

    async def stream(self, loaded: str, call: Call) -> AsyncIterator[str | Completion | Trouble]:
        """As Engines says."""
        async with self._engine(loaded) as worker:
            async for item in worker.stream(call):
                yield item

    async def score(self, loaded: str, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """As Engines says."""
        async with self._turn(loaded):
            if loaded not in self._scorers:
                item = self._models[loaded]
                self._scorers[loaded] = ScoreWorker(self._load(item, item.model.build), item.with_reasoning)
            return await self._scorers[loaded].score(pairs)

    async def conditions(self) -> Mapping[str, Condition]:
        """All are ready, for they are loaded when they are asked, but for engines that have died."""
        return {name: self._condition(name) for name in self.figures}

    def held(self) -> list[str]:
        """The names of the models that are loaded."""
        return [*self._workers, *self._scorers]

    async def close(self) -> None:
        """Close all engines that are loaded."""
        for name in self.held():
            await self._drop(name)

    def _condition(self, name: str) -> Condition:
        died = self._workers[name].died if name in self._workers else None
        return Condition("failed", 0, died) if died else Condition("ready", 1)

    @asynccontextmanager
    async def _engine(self, name: str) -> AsyncIterator[EngineWorker]:
        async with self._turn(name):
            if name not in self._workers:
                item = self._models[name]
                self._workers[name] = EngineWorker(self._load(item, partial(load_engine, item.model)), self._free)
            yield self._workers[name]

    def _load(self, item: Loaded, load: Callable[[], Model]) -> Model:
        if self.failed is None:
            self._loading(item.name)
            try:
                return load()
            except JobError as error:
                self.failed = error
            except Exception as error:  # whatever a model's own code, a driver or a library raises
                told = " ".join(f"{type(error).__name__}: {error}".split())
                self.failed = PoolError(f"{item.name}: its model cannot be loaded: {told[:MESSAGE_CHARACTERS]}")
        raise self.failed

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """The time of one who wants a model. While anybody wants the one that has the cards, no other gets them."""
        if not self._models[name].shape.gpus:
            yield
            return
        self._wanted[name] += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._next() in (name, ""))
                if self._holder not in (name, ""):
                    await self._drop(self._holder)
                self._holder = name
            yield
        finally:
            async with self._changed:
                self._wanted[name] -= 1
                self._changed.notify_all()

    def _next(self) -> str:
        """Whose turn it is: who has the cards, while anybody wants it, or else the first that is wanted as rows go."""
        if self._wanted[self._holder]:
            return self._holder
        return next((name for name in self._models if self._wanted[name]), "")

    async def _drop(self, name: str) -> None:
        self._scorers.pop(name, "")
        if name in self._workers:
            await self._workers.pop(name).close()


def on_cards(roster: Roster) -> bool:
    """Whether any of the models that are loaded takes a card."""
    return any(item.shape.gpus for item in roster.loaded)
