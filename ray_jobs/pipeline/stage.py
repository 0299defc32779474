"""A job's pipeline as data: the pools that rows pass, in order. What else is known about pools derives from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from ray_jobs.config.engine_kinds import EngineKind, VllmConfig
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import ModelScorerConfig
from ray_jobs.errors import ConfigError
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.pipeline.actor import ActorContext, PoolActor
from ray_jobs.pipeline.journal import JournalPlace
from ray_jobs.pipeline.monitor import Monitor

AnyModel = TypeVar("AnyModel", bound=Any)


@dataclass(frozen=True)
class Stage:
    """One pool of actors, and the rows that pass it.

    Each actor loads `model`, the configuration of an engine or of a model, which stands in the configuration at
    `place`; it is told `task` beside. `branches` are those of the plan whose rows pass: they begin here. Without any
    all rows pass. `labels` are the columns in which records name the model.
    """

    name: str
    place: str
    actor: type[PoolActor[Any]]
    model: Any
    pool: PoolConfig
    task: Any = None
    branches: tuple[str, ...] = ()
    labels: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ConfigError where the pool's hardware is none for such a model."""
        vllm = isinstance(self.model, VllmConfig)
        if not vllm and any(shape.arguments for shape in self.pool.shapes):
            raise ConfigError(f"pool {self.name}: variants: arguments are for vLLM engines, {self.place} is none")
        if not isinstance(self.model, EngineKind) and any(shape.nodes > 1 for shape in self.pool.shapes):
            raise ConfigError(f"pool {self.name}: nodes: expected 1, for {self.place} is no engine that can be spread")

    def context(self, monitor: Monitor, first: bool, journal: JournalPlace | None = None) -> ActorContext:
        """Where its actors stand: rows begin there if it is `first`, and replies are kept in the `journal`, if any."""
        return ActorContext(self.name, absolute(self.model), monitor, first, journal, self.pool.shapes)


@dataclass(frozen=True)
class Pipeline:
    """Rows of each of the plan's `branches` pass the stages of their own, then those of all, one after the other.

    `prepare` makes of a block of planned rows, which were written in `schema`, what the first stage takes.
    """

    branches: tuple[str, ...]
    stages: tuple[Stage, ...]
    prepare: Callable[[pa.Table], pa.Table] | None = None
    schema: pa.Schema = PLAN_SCHEMA

    def own(self, branch: str) -> list[Stage]:
        """The stages that the rows of one branch alone pass."""
        return [stage for stage in self.stages if branch in stage.branches]

    def side_by_side(self) -> list[tuple[tuple[str, ...], list[Stage]]]:
        """The stages that some branches alone pass, with the names of those branches."""
        found: list[tuple[tuple[str, ...], list[Stage]]] = []
        for branch in self.branches:
            own = self.own(branch)
            names = own[0].branches if own else (branch,)
            if names not in [known for known, _ in found]:
                found.append((names, own))
        return found

    @property
    def shared(self) -> list[Stage]:
        """The stages that all rows pass."""
        return [stage for stage in self.stages if not stage.branches]

    @property
    def first(self) -> list[Stage]:
        """The stages in which rows begin: one a branch, or one that all share."""
        return [own[0] for branch in self.branches if (own := self.own(branch))] or list(self.stages[:1])

    def pools(self) -> dict[str, PoolConfig]:
        """Every pool by its name, in the order in which rows pass them."""
        return {stage.name: stage.pool for stage in self.stages}

    def order(self) -> list[list[str]]:
        """The pools in the order in which a row passes them, those that share the rows among them together."""
        depth = max((len(self.own(branch)) for branch in self.branches), default=0)
        side_by_side = [
            list(dict.fromkeys(own[step].name for branch in self.branches if len(own := self.own(branch)) > step))
            for step in range(depth)
        ]
        return [*side_by_side, *([stage.name] for stage in self.shared)]

    def block_rows(self) -> dict[str, int]:
        """For each branch of the plan, how many of its rows travel together: as its first pool is configured."""
        return {branch: [*self.own(branch), *self.shared][0].pool.batch_rows for branch in self.branches}

    def passing(self, rows: Mapping[str, int]) -> dict[str, int]:
        """How many rows pass each pool, where each branch has so many."""
        return {stage.name: sum(rows.get(branch, 0) for branch in stage.branches or rows) for stage in self.stages}

    def labels(self) -> dict[str, str | None]:
        """The columns in which records name the models of stages that all rows pass."""
        return {column: model for stage in self.shared for column, model in stage.labels.items()}


def absolute(config: AnyModel) -> AnyModel:
    """The same model with a local folder written as an absolute path: workers have another working directory."""
    changed: dict[str, Any] = {}
    folder = Path(config.model)
    if folder.is_dir():
        changed["model"] = str(folder.resolve())
    if isinstance(config, VllmConfig) and config.adapter:
        changed["adapter"] = str(Path(config.adapter).resolve())
    if isinstance(config, ModelScorerConfig) and config.reward:
        changed["reward"] = absolute(config.reward)
    found: AnyModel = config.model_copy(update=changed)
    return found
