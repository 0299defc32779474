"""What one kind of run does with its planned rows; everything else about a run is the same for all kinds.

The runner plans, resumes, watches, commits and reports; a job says how its rows are planned and which pools they pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from ray_jobs.config.run import JobConfig, OutputConfig, SeedsConfig
from ray_jobs.output import ownership
from ray_jobs.output.begun_with import seed_mapping
from ray_jobs.output.card import make_card
from ray_jobs.output.file_names import CARD
from ray_jobs.output.languages import languages_of
from ray_jobs.output.layout import Layout, RoundsLayout, RunLabels
from ray_jobs.output.manifest import Manifest
from ray_jobs.output.part_files import some_texts
from ray_jobs.output.plan import Fanout, PlanWriter, make_plan
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.stage import Pipeline
from ray_jobs.seeds.read import SeedSource
from ray_jobs.storage.store import Store

NO_MODELS = dict.fromkeys(("responder_model", "scorer_model", "reward_model"))
"""The columns in which records name the models of pools, of a run without such pools."""


class PooledJob(ABC):
    """One kind of run under one configuration. Making one checks what can be checked without a cluster."""

    kind: ClassVar[str]
    """The name of the kind in run.json."""
    holds: ClassVar[ownership.Kind] = "run"
    """What the mark of the output says that it holds."""
    config: OutputConfig
    set_back: Mapping[str, Any] = MappingProxyType({})
    """Settings that are as they were when an earlier version began the output, by dotted path."""

    @property
    @abstractmethod
    def records_per_row(self) -> int:
        """How many records a readable row ends as."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The settings that change results, by dotted path."""

    def noted(self) -> dict[str, Any]:
        """The settings that a run which goes on with the output must have."""
        return self.settings()

    def check_machine(self, say: Callable[[str], None]) -> None:  # noqa: B027  # most jobs need nothing of it
        """Check what this machine must offer beside Ray, before anything else, and tell. Raises ConfigError."""

    @abstractmethod
    def plan(self, writer: PlanWriter) -> PlanIndex:
        """Write down the rows that are not planned yet."""

    @property
    @abstractmethod
    def pipeline(self) -> Pipeline:
        """The pools that planned rows pass."""

    @abstractmethod
    def labels(self, run_id: str) -> RunLabels:
        """The columns that are the same for many records."""

    @abstractmethod
    def layout(self, run_id: str) -> Layout:
        """How finished rows become records."""

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:  # noqa: ARG002
        """What the report tells beside what every run's does."""
        return {}

    @abstractmethod
    def documents(self, store: Store, result: dict[str, Any]) -> dict[str, bytes]:
        """The files that readers get besides the records and report.json, of which `result` is the content."""


class Job(PooledJob):
    """A run whose rows come from seeds, and end in the schema of evolved records."""

    config: JobConfig
    seed_fields: ClassVar[tuple[str, ...]] = ("instruction", "input")
    """What of a seed the job reads."""

    def __init__(self, config: JobConfig) -> None:
        self.config = config

    def noted(self) -> dict[str, Any]:
        """Those that change results, and how the seeds are read."""
        seeds = self.config.seeds
        columns = {str(field): name for field, name in seeds.columns.items()}
        return self.settings() | seed_mapping(seeds.layout, columns, self.seed_fields)

    @abstractmethod
    def description(self) -> tuple[str, str]:
        """A title and a paragraph for the dataset card."""

    @property
    def strategy(self) -> str | None:
        """What records name as their strategy."""
        return None

    def evolver_models(self) -> dict[str, str]:
        """The model of each evolver."""
        return {}

    def labels(self, run_id: str) -> RunLabels:
        """The columns that are the same for many records: run, strategy, and the models of the pools."""
        constants = {"run_id": run_id, "strategy": self.strategy, **NO_MODELS, **self.pipeline.labels()}
        return RunLabels(constants, self.evolver_models())

    def seed_source(self) -> SeedSource:
        """The seeds as the reader wants them."""
        return seed_source(self.config.seeds, self.config.output)

    def layout(self, run_id: str) -> Layout:
        """A record a round."""
        return RoundsLayout(self.labels(run_id))

    def documents(self, store: Store, result: dict[str, Any]) -> dict[str, bytes]:
        """The dataset card."""
        return {CARD: make_card(result, *self.description(), languages_of(some_texts(store)))}


class SeededJob(Job):
    """A job whose rows are its seeds, each as often as its fanout says."""

    @abstractmethod
    def fanout(self) -> Fanout:
        """How seeds become planned rows."""

    def plan(self, writer: PlanWriter) -> PlanIndex:
        """Plan what the seed files hold and the plan does not."""
        config = self.config
        return make_plan(writer, self.seed_source(), self.fanout(), config.seeds.gone, config.limits.planned_rows)


def seed_source(seeds: SeedsConfig, output: str = "") -> SeedSource:
    """Configured seeds as the reader wants them, for a run that writes to `output`."""
    return SeedSource(
        paths=(seeds.path,) if isinstance(seeds.path, str) else seeds.path,
        format=seeds.format,
        layout=seeds.layout,
        columns={str(field): name for field, name in seeds.columns.items()},
        on_error=seeds.on_error,
        limit=seeds.limit,
        storage=seeds.storage,
        output=output,
    )
