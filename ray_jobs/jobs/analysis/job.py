"""What analyses that ask a model about each record have in common: planned, resumed and committed like every run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from ray.data import Dataset

from ray_jobs.config.identity import result_settings
from ray_jobs.config.run import PoolConfig
from ray_jobs.datasets.source import Source, open_source
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.jobs.analysis.planning import RECORDS, Row, plan_rows, records_and_seeds
from ray_jobs.jobs.analysis.summaries import SUMMARY, Entry, encode_summary, pool_summary
from ray_jobs.jobs.analysis.tables import PLAN, FindingsLayout
from ray_jobs.jobs.thinking import told
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.branches import read_plan
from ray_jobs.pipeline.job import Pending, PooledJob
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.pools import through_pool
from ray_jobs.storage.store import Store, open_store


class AnalysisJob(PooledJob):
    """One row a record, and one a seed where seeds are measured, through one pool into one table."""

    kind = "analysis"
    holds = "analysis"
    pool_name: ClassVar[str]
    config: AnalysisRunConfig
    begun: Sequence[str] = ()
    """What is as it was when the output was begun, one line a setting."""

    def __init__(
        self, config: AnalysisRunConfig, name: str, pool: PoolConfig, layout: FindingsLayout, seeds: bool
    ) -> None:
        self.config = config
        self._name, self._pool, self._layout, self._seeds = name, pool, layout, seeds

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Tell what is as it was when the output was begun, and how thoughts are read."""
        told(say, self.begun, self.config)

    @abstractmethod
    def actor(self, monitor: Monitor) -> tuple[type[Any], Any]:
        """What runs in the pool: the actor's class, and what it is built with."""

    @property
    def records_per_row(self) -> int:
        """The record itself."""
        return 1

    def settings(self) -> dict[str, Any]:
        """Those of the analysis."""
        return result_settings(self.config) | {"job": self.kind}

    def source(self) -> Source:
        """The dataset whose records are measured. Raises OutputError."""
        return open_source(open_store(self.config.source, self.config.storage))

    def plan(self, writer: PlanWriter) -> PlanIndex:
        """The records that the dataset has by now."""
        source = self.source()
        return plan_rows(writer, self.rows(source), str(source.origin["fingerprint"]))

    def rows(self, source: Source) -> Iterator[list[Row]]:
        """What is measured of a dataset: instructions, unless a job needs more."""
        return records_and_seeds(source, self._seeds)

    def pools(self) -> dict[str, PoolConfig]:
        """One pool."""
        return {self.pool_name: self._pool}

    def block_rows(self) -> dict[str, int]:
        """What the pool is configured to."""
        return {RECORDS: self._pool.batch_rows}

    def pool_rows(self, pending: Pending) -> dict[str, int]:
        """All of them."""
        return {self.pool_name: pending.rows().get(RECORDS, 0)}

    def labels(self, run_id: str) -> RunLabels:
        """The run alone: a table has no columns that are the same for all."""
        return RunLabels({"run_id": run_id}, {})

    def layout(self, run_id: str) -> FindingsLayout:  # noqa: ARG002 (no column of a table holds it)
        """Findings by record."""
        return self._layout

    def entries(self, store: Store) -> list[Entry]:
        """What was found, by evolver and round."""
        return pool_summary(store, self._name)

    def documents(self, store: Store, result: dict[str, Any]) -> dict[str, bytes]:  # noqa: ARG002 (the records say more)
        """The summary."""
        return {SUMMARY: encode_summary(self.entries(store))}

    def stream(self, store: Store, pending: Pending, monitor: Monitor) -> Dataset:
        """Plan, measure."""
        rows = read_plan(store, RECORDS, pending.branches[RECORDS], PLAN)
        actor, task = self.actor(monitor)
        return through_pool(rows, self.pool_name, actor, task, self._pool)
