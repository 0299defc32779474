"""The engines of a search, each loaded once in actors of its own, and the client that spreads prompts over them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from evolve.engines.quota import counted_by
from evolve.errors import EngineDied, PromptRefused
from evolve.records import Completion, Prompt
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.config.pools import Share
from ray_jobs.jobs.method_search.config import SearchEngineConfig
from ray_jobs.pipeline.actor import end_actor, load_engine
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.placement import on_one_machine
from ray_jobs.pipeline.quota import MonitorQuota
from ray_jobs.pipeline.stage import absolute
from ray_jobs.pipeline.stats_reporter import StatsReporter

REFUSED = "refused"
SPARE_CALLS = 4
"""Calls beside prompts that an actor must have room for."""


class EngineActor:
    """Holds one engine. An engine that died ends the process; Ray starts the actor and its calls again."""

    def __init__(self, pool: str, engine: EngineConfig, monitor: Monitor, share: Share) -> None:
        self._reporter = StatsReporter(monitor, pool, share)
        with self._reporter.loading(), counted_by(MonitorQuota(monitor)):
            self._engine = load_engine(engine)

    async def generate(self, prompt: Prompt) -> Completion | str:
        """The completion, or why the engine will never complete this prompt."""
        with self._reporter.row() as stats:
            try:
                completion = await self._engine.generate(prompt)
            except PromptRefused as refused:
                stats.outcomes[REFUSED] += 1
                return str(refused)
            except EngineDied as died:
                end_actor(died, self._reporter)
            stats.spend(completion.prompt_tokens, completion.completion_tokens)
        return completion

    async def report(self) -> None:
        """Send the figures to the monitor now. Answers once the engine is loaded."""
        await asyncio.to_thread(self._reporter.report)


class PooledEngine:
    """An engine whose prompts go to whichever actor has the fewest of them.

    A prompt is one call: replies differ in length, so a call of several would keep the short ones waiting.
    """

    def __init__(self, actors: Sequence[Any], in_flight: int) -> None:
        self._actors = actors
        self._load = [0] * len(actors)
        self.max_concurrency = in_flight * len(actors)
        self._free = asyncio.Semaphore(self.max_concurrency)

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`. Raises PromptRefused; a RayError where the actors cannot be kept alive."""
        async with self._free:
            place = min(range(len(self._actors)), key=self._load.__getitem__)
            self._load[place] += 1
            try:
                reply: Completion | str = await self._actors[place].generate.remote(prompt)
            finally:
                self._load[place] -= 1
        if isinstance(reply, str):
            raise PromptRefused(reply)
        return reply

    async def close(self) -> None:
        """Nothing is held; the actors belong to the search."""


@dataclass(frozen=True)
class SearchPools:
    """All actors of a search, by engine."""

    actors: Mapping[str, Sequence[Any]]
    config: Mapping[str, SearchEngineConfig]

    @classmethod
    def start(cls, config: Mapping[str, SearchEngineConfig], monitor: Monitor) -> SearchPools:
        """Ask Ray for all actors; does not wait for them."""
        actors = {
            name: [_actor(item).remote(name, absolute(item.engine), monitor, item.pool) for _ in range(item.pool.size)]
            for name, item in config.items()
        }
        return cls(actors, config)

    def engine(self, name: str) -> PooledEngine:
        """A client for the actors of one engine."""
        return PooledEngine(self.actors[name], self.config[name].pool.in_flight)

    async def report(self) -> None:
        """Have all actors send their figures, which they do once they are loaded. Raises RayError where one cannot."""
        await asyncio.gather(*(actor.report.remote() for actors in self.actors.values() for actor in actors))

    def close(self) -> None:
        """End all actors, so that a cluster that is not ours has its resources back."""
        for actors in self.actors.values():
            for actor in actors:
                ray.kill(actor)


def _actor(search_engine_config: SearchEngineConfig) -> Any:
    pool = search_engine_config.pool
    return ray.remote(EngineActor).options(
        **on_one_machine(pool),
        max_concurrency=pool.in_flight + SPARE_CALLS,
        # how often is enough is the watchdog's business
        max_restarts=-1,
        max_task_retries=-1,
    )
