"""What AutoIF's phases share, and where their outputs lie."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

from ray_jobs.config.identity import fingerprint
from ray_jobs.config.pool_names import pool_name
from ray_jobs.jobs.autoif.config import ModelConfig
from ray_jobs.jobs.autoif.planning import Planner
from ray_jobs.jobs.autoif.preparation import Prepared
from ray_jobs.jobs.evolving import engines_of
from ray_jobs.jobs.preflight import check_models
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.actor import PoolActor
from ray_jobs.pipeline.job import Job
from ray_jobs.pipeline.stage import Stage
from ray_jobs.storage.store import Store, open_store


class Phase(Job):
    """What the phases share."""

    folder: ClassVar[str] = ""

    def __init__(self, prepared: Prepared) -> None:
        output = f"{prepared.run.output.rstrip('/')}/{self.folder}" if self.folder else prepared.run.output
        super().__init__(prepared.run.model_copy(update={"output": output}))
        self.run, self.prepared, self.set_back = prepared.run, prepared, prepared.set_back
        check_models(self.pipeline.stages)

    @property
    def records_per_row(self) -> int:
        """One, but for the phase that answers."""
        return 1

    def plan(self, writer: PlanWriter) -> PlanIndex:
        """Plan what the phase before has kept and this plan does not hold."""
        return self.plan_with(Planner(writer, fingerprint(self.settings())))

    @abstractmethod
    def plan_with(self, planner: Planner) -> PlanIndex:
        """The phase's own plan."""

    @property
    def strategy(self) -> str:
        """The one that has phases."""
        return self.run.strategy.kind

    def evolver_models(self) -> dict[str, str]:
        """As configured."""
        return {name: evolver.engine.label for name, evolver in self.run.evolvers.items()}

    def evolving(self, actor: type[PoolActor[Any]]) -> list[Stage]:
        """A pool of each evolver that shares no other's, on the parts of the plan of all who share it."""
        stages = []
        for shared in engines_of(self.run.evolvers):
            kit = replace(self.prepared.kit, adapters=shared.adapters)
            pool, place = self.run.evolvers[shared.name].pool, f"evolvers.{shared.name}.engine"
            stages.append(Stage(pool_name(shared.name), place, actor, shared.engine, pool, kit, shared.users))
        return stages

    def judging(self, name: str, actor: type[PoolActor[Any]]) -> Stage:
        """A pool with the judge model."""
        assert self.run.judge is not None, "the configuration says so"
        return self.stage(name, "judge", actor, self.run.judge)

    def stage(self, name: str, place: str, actor: type[PoolActor[Any]], model: ModelConfig, **more: Any) -> Stage:
        """A pool of actors with the engine that stands at `place`."""
        return Stage(name, f"{place}.engine", actor, model.engine, model.pool, self.prepared.kit, **more)

    def store_of(self, folder: str) -> Store:
        """The output of another phase."""
        return open_store(self.run.output, self.run.storage).below(folder)
