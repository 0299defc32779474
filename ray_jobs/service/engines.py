"""The engines that a service has, as its routes see them, wherever they are loaded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from evolve.records import Completion
from ray_jobs.config.pool_names import RESPOND, SCORE
from ray_jobs.config.pools import Sized
from ray_jobs.config.run import PoolResponderConfig, RunConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.evolving import responding_adapter
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.rounds import RoundRow
from ray_jobs.pipeline.actors import EvolveTask, ScoreTask
from ray_jobs.pipeline.placement import shaped
from ray_jobs.pipeline.stage import Stage, absolute
from ray_jobs.service.score_worker import Pair
from ray_jobs.service.work import Call, Question, Trial, Trouble

RATE_SECONDS = 10.0
"""Over how long tokens a second are counted."""
Role = Literal["evolver", "responder", "scorer"]
Standing = Literal["loading", "ready", "failed"]


@dataclass(frozen=True)
class Loaded:
    """A model that is loaded in so many replicas of its own. `with_reasoning` is the scorer's setting."""

    name: str
    model: Any
    shape: Sized
    with_reasoning: bool = False


@dataclass(frozen=True)
class Served:
    """A name under which clients reach a loaded model; evolvers that share an engine differ in their `adapter`."""

    name: str
    role: Role
    model: str
    loaded: str
    adapter: str | None = None


@dataclass(frozen=True)
class Roster:
    """What a configuration has the service load, and under which names clients reach it.

    Answers come from the engine `responder`, under `responder_adapter` if that is none of the engine's own; None where
    each evolver answers itself.
    """

    loaded: tuple[Loaded, ...]
    served: tuple[Served, ...]
    responder_adapter: str | None = None

    def evolvers(self) -> dict[str, Served]:
        """The evolvers by name."""
        return {item.name: item for item in self.served if item.role == "evolver"}

    def of_role(self, role: Role) -> Served | None:
        """The one of this role, if there is any."""
        return next((item for item in self.served if item.role == role), None)


def roster(config: RunConfig) -> Roster:
    """The engines of a run's pools, and its scorer; of a pool with unlike hardware those on the first kind.

    Checks what can be checked before one is loaded. Raises ConfigError.
    """
    stages = SynthesisJob(config).pipeline.stages
    for stage in stages:
        if stage.pool.shapes[0].nodes > 1:
            raise ConfigError(f"{stage.place}: its pool's engines lie on several machines, which the service cannot")
    served = [item for stage in stages for item in _served(stage, config)]
    loaded = tuple(_loaded(stage) for stage in stages)
    return Roster(loaded, tuple(served), responding_adapter(config))


def _loaded(stage: Stage) -> Loaded:
    shape = stage.pool.shapes[0]
    with_reasoning = isinstance(stage.task, ScoreTask) and stage.task.with_reasoning
    return Loaded(stage.name, shaped(absolute(stage.model), shape), shape, with_reasoning)


def _served(stage: Stage, config: RunConfig) -> Iterator[Served]:
    if stage.name == RESPOND:
        assert isinstance(config.responder, PoolResponderConfig), "only such a one has a pool"
        yield Served(RESPOND, "responder", config.responder.engine.label, stage.name)
    elif stage.name == SCORE:
        yield Served(SCORE, "scorer", stage.model.model, stage.name)
    else:
        assert isinstance(stage.task, EvolveTask), "the others evolve"
        for name in stage.branches:
            label = config.evolvers[name].engine.label
            yield Served(name, "evolver", label, stage.name, stage.task.adapters.get(name))


@dataclass
class Figures:
    """What is under way at a loaded model, and how fast it writes, as the gateway sees it."""

    clock: Callable[[], float] = time.monotonic
    ongoing: int = 0
    _written: deque[tuple[float, int]] = field(default_factory=deque)

    @contextmanager
    def one(self) -> Iterator[None]:
        """A request is under way while the context lasts."""
        self.ongoing += 1
        try:
            yield
        finally:
            self.ongoing -= 1

    def wrote(self, tokens: int) -> None:
        """So many tokens have come."""
        self._written.append((self.clock(), tokens))

    def first_after(self, began: float) -> None:
        """The first piece has come, of a chat that `began` at this monotonic time."""

    @property
    def rate(self) -> float:
        """Tokens a second, lately."""
        since = self.clock() - RATE_SECONDS
        while self._written and self._written[0][0] < since:
            self._written.popleft()
        return sum(tokens for _, tokens in self._written) / RATE_SECONDS


@dataclass(frozen=True)
class Condition:
    """How the replicas of a loaded model stand."""

    state: Standing
    replicas: int
    why: str | None = None


class Engines(Protocol):
    """Loaded models by their names in `roster.loaded`. Methods raise ClusterError where one cannot be reached."""

    roster: Roster
    figures: Mapping[str, Figures]

    def trial(self, loaded: str, trial: Trial) -> AsyncIterator[RoundRow | Trouble]:
        """As EngineWorker."""
        ...

    async def answer(self, loaded: str, question: Question) -> RoundRow | Trouble:
        """As EngineWorker."""
        ...

    async def complete(self, loaded: str, call: Call) -> Completion | Trouble:
        """As EngineWorker."""
        ...

    def stream(self, loaded: str, call: Call) -> AsyncIterator[str | Completion | Trouble]:
        """As EngineWorker."""
        ...

    async def score(self, loaded: str, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """As ScoreWorker."""
        ...

    async def conditions(self) -> Mapping[str, Condition]:
        """How all stand."""
        ...
