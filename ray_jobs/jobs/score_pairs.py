"""Scoring pairs that exist already: read, score, write, with the plan, resume and display of every other run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ray_jobs.config.identity import result_settings
from ray_jobs.config.run import ScoreConfig
from ray_jobs.jobs.preflight import check_models
from ray_jobs.jobs.stages import scoring
from ray_jobs.output.card import shown_model
from ray_jobs.output.layout import Layout, RoundsLayout
from ray_jobs.output.plan import Fanout
from ray_jobs.pipeline.begun import as_records
from ray_jobs.pipeline.job import SeededJob
from ray_jobs.pipeline.stage import Pipeline
from ray_jobs.seeds.read import SeedSource

PAIRS = "pairs"
"""The one branch of the plan, in the place of an evolver."""


class ScorePairsJob(SeededJob):
    """Every pair of a dataset becomes one record, of round 0, with its scores. Raises ConfigError."""

    kind = "score"
    seed_fields = ("instruction", "input", "output")

    def __init__(self, config: ScoreConfig) -> None:
        super().__init__(config)
        self._scorer = config.scorer
        check_models(self.pipeline.stages)

    @property
    def pipeline(self) -> Pipeline:
        """Plan, score."""
        return Pipeline((PAIRS,), tuple(scoring(self._scorer)), prepare=as_records)

    @property
    def records_per_row(self) -> int:
        """The pair itself."""
        return 1

    def settings(self) -> dict[str, Any]:
        """Those of the scorer."""
        return result_settings(self.config) | {"job": self.kind}

    def fanout(self) -> Fanout:
        """One row a pair."""
        return Fanout({PAIRS: 1.0}, split=False, samples=1, strategy_fingerprint=self.kind, run_seed=0)

    def description(self) -> tuple[str, str]:
        """The scorer."""
        return "Scored pairs", f"Pairs scored with IFD and IC-IFD by `{shown_model(self._scorer.model)}`."

    def layout(self, run_id: str) -> Layout:
        """A record a pair, which tells where the pair stood."""
        return RoundsLayout(self.labels(run_id), tell_rows=True)

    def seed_source(self) -> SeedSource:
        """Every pair counts: those that differ in their response alone are two, and so are equal ones."""
        return replace(super().seed_source(), pairs=True)
