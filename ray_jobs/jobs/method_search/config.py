"""The configuration of a search for a better method of Auto Evol-Instruct. Defaults are those of arXiv 2406.00770."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from evolve.strategies.elimination import Elimination
from ray_jobs.config.base import HARMLESS, GreedyConfig, SamplingConfig, Strict
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.config.pools import Share
from ray_jobs.config.run import ENGINE_NAME, BudgetConfig, JobConfig, LimitsConfig
from ray_jobs.config.strategies import EliminationConfig, RulesConfig
from ray_jobs.config.trackers import TrackerConfig
from ray_jobs.errors import ConfigError


class SearchPoolConfig(Share):
    """The actors of one engine, which stay for the whole search. Each takes up to `in_flight` prompts at once.

    `gpus` and `cpus` are Ray's logical resources an actor; with tensor parallelism `gpus` is the number of cards.
    `price` is what an hour of one actor costs.
    """

    size: int = Field(1, ge=1)
    in_flight: int = Field(256, ge=1)


class SearchEngineConfig(Strict):
    """One engine of the search and its actors."""

    engine: EngineConfig
    pool: SearchPoolConfig = Field(SearchPoolConfig(), json_schema_extra=HARMLESS)


class RolesConfig(Strict):
    """Which engine takes which part, by its name. A part that is left out falls to the only engine."""

    evolver: str | None = None
    optimiser: str | None = None
    responder: str | None = None


class OptimiserSamplingConfig(SamplingConfig):
    """Sampling of the optimiser, which is to differ from candidate to candidate."""

    temperature: float | None = Field(0.6, ge=0, le=2)


class SearchSamplingConfig(Strict):
    """How each part draws its completions."""

    evolver: GreedyConfig = GreedyConfig()
    optimiser: OptimiserSamplingConfig = OptimiserSamplingConfig()
    responder: GreedyConfig = GreedyConfig()


class SearchSettings(Strict):
    """How the search goes; see evolve.method_search.config.SearchConfig.

    `dev_rows` seeds measure the methods, up to `pool_rows` others give the mini-batches. `elimination` is a preset's
    name or the rules one by one. With `forms` the optimiser can reply with nothing but a method, and the judge of the
    rule `equal` with nothing but a verdict, where the engine can.
    """

    dev_rows: int = Field(50, ge=1)
    pool_rows: int = Field(2000, ge=1)
    minibatch: int = Field(10, ge=1)
    rounds: int = Field(3, ge=1, le=100)
    candidates: int = Field(5, ge=1)
    steps: int = Field(10, ge=1)
    attempts: int = Field(3, ge=1)
    elimination: RulesConfig = EliminationConfig()
    forms: bool = Field(True, json_schema_extra={"before": False})

    def rules(self) -> Elimination:
        """The rules that are on."""
        return Elimination(**self.elimination.model_dump())


class SearchLimits(LimitsConfig):
    """As in a run. `drain_seconds` is how long a step under way may take to finish after a request to stop."""

    drain_seconds: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _no_budget(self) -> Self:
        if self.budget != BudgetConfig():
            raise ValueError("a search has no budget; search.steps bounds it")
        return self


class OptimizeConfig(JobConfig):
    """One search: one output folder and everything that determines the method that ends up in it."""

    seed: int = 0
    engines: dict[Annotated[str, Field(pattern=ENGINE_NAME)], SearchEngineConfig] = Field(min_length=1)
    roles: RolesConfig = RolesConfig()
    search: SearchSettings = SearchSettings()
    sampling: SearchSamplingConfig = SearchSamplingConfig()
    templates: Path | None = Field(None, json_schema_extra=HARMLESS)
    limits: SearchLimits = Field(SearchLimits(), json_schema_extra=HARMLESS)

    @field_validator("trackers")
    @classmethod
    def _untracked(cls, value: tuple[TrackerConfig, ...]) -> tuple[TrackerConfig, ...]:
        if value:
            raise ValueError("expected none, for a search tells none; its runs do")
        return value

    def engine_of(self, role: str) -> str:
        """The name of the engine that takes a part. Raises ConfigError where there is none of that name."""
        name = getattr(self.roles, role)
        if name is None and len(self.engines) == 1:
            return next(iter(self.engines))
        if name not in self.engines:
            got = "is missing" if name is None else f"there is no engine {name}"
            raise ConfigError(f"roles.{role}: {got}; expected one of {', '.join(self.engines)}")
        return str(name)
