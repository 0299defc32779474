"""What analyses that ask a model about each record have in common: planned, resumed and committed like every run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from ray_jobs.config.identity import result_settings
from ray_jobs.datasets.source import Source, open_source
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.jobs.analysis.planning import RECORDS, Row, plan_rows, records_and_seeds
from ray_jobs.jobs.analysis.summaries import SUMMARY, Entry, encode_summary, pool_summary
from ray_jobs.jobs.analysis.tables import PLAN, FindingsLayout
from ray_jobs.jobs.thinking import told
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.job import PooledJob
from ray_jobs.pipeline.stage import Pipeline, Stage
from ray_jobs.storage.store import Store, open_store


class AnalysisJob(PooledJob):
    """One row a record, and one a seed where seeds are measured, through one pool into one table."""

    kind = "analysis"
    holds = "analysis"
    config: AnalysisRunConfig

    def __init__(self, config: AnalysisRunConfig, name: str, layout: FindingsLayout, seeds: bool) -> None:
        self.config, self._name, self._layout, self._seeds = config, name, layout, seeds

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Tell what is as it was when the output was begun, and how thoughts are read."""
        told(say, self.set_back, self.config)

    @property
    @abstractmethod
    def stage(self) -> Stage:
        """The pool that measures."""

    @property
    def pipeline(self) -> Pipeline:
        """Plan, measure."""
        return Pipeline((RECORDS,), (self.stage,), schema=PLAN)

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
