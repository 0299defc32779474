"""What AutoIF's phases share, and where their outputs lie."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from ray.data import Dataset

from ray_jobs.config.identity import fingerprint
from ray_jobs.config.pool_names import pool_name
from ray_jobs.config.run import PoolConfig
from ray_jobs.jobs.autoif.config import ModelConfig
from ray_jobs.jobs.autoif.planning import Planner
from ray_jobs.jobs.autoif.preparation import Prepared
from ray_jobs.jobs.autoif.stages import StepJob
from ray_jobs.jobs.preflight import absolute
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.branches import read_plan, union
from ray_jobs.pipeline.job import Job, Pending
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.pools import through_pool
from ray_jobs.storage.store import Store, open_store


class Phase(Job):
    """What the phases share."""

    folder: ClassVar[str] = ""

    def __init__(self, prepared: Prepared) -> None:
        output = f"{prepared.run.output.rstrip('/')}/{self.folder}" if self.folder else prepared.run.output
        super().__init__(prepared.run.model_copy(update={"output": output}))
        self.run, self.prepared = prepared.run, prepared

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

    def pools(self) -> dict[str, PoolConfig]:
        """The evolvers."""
        return {pool_name(name): evolver.pool for name, evolver in self.run.evolvers.items()}

    def block_rows(self) -> dict[str, int]:
        """What each evolver's pool is configured to."""
        return {name: evolver.pool.batch_rows for name, evolver in self.run.evolvers.items()}

    def pool_rows(self, pending: Pending) -> dict[str, int]:
        """An evolver's own rows; all of them for the pools behind."""
        rows = pending.rows()
        own = {pool_name(name): rows.get(name, 0) for name in self.run.evolvers}
        return {name: own.get(name, sum(rows.values())) for name in self.pools()}

    def labels(self, run_id: str) -> RunLabels:
        """Run, strategy, and the model of each evolver."""
        constants: dict[str, str | None] = {"run_id": run_id, "strategy": "autoif"}
        constants |= {"responder_model": None, "scorer_model": None, "reward_model": None}
        return RunLabels(constants, {name: evolver.engine.model for name, evolver in self.run.evolvers.items()})

    def through(self, rows: Dataset, name: str, actor: type[Any], model: ModelConfig, monitor: Monitor) -> Dataset:
        """Rows through a pool of actors with an engine."""
        job = StepJob(name, absolute(model.engine), monitor, self.prepared.kit)
        return through_pool(rows, name, actor, job, model.pool)

    def evolved(self, store: Store, pending: Pending, actor: type[Any], monitor: Monitor) -> Dataset:
        """Every evolver's part of the plan through its own pool."""
        rows = union(
            self.through(read_plan(store, name, blocks), pool_name(name), actor, self.run.evolvers[name], monitor)
            for name, blocks in pending.branches.items()
        )
        assert rows is not None, "a stream is asked for only while rows are pending"
        return rows

    def store_of(self, folder: str) -> Store:
        """The output of another phase."""
        return open_store(self.run.output, self.run.storage).below(folder)
