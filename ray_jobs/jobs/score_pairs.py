"""Scoring pairs that exist already: read, score, write, with the plan, resume and display of every other run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
from ray.data import Dataset

from ray_jobs.config.identity import result_settings
from ray_jobs.config.pool_names import SCORE
from ray_jobs.config.run import PoolConfig, ScoreConfig
from ray_jobs.jobs.preflight import absolute, check_scorer
from ray_jobs.output.layout import Layout, RoundsLayout, RunLabels
from ray_jobs.output.plan import Fanout
from ray_jobs.output.schema import KEPT
from ray_jobs.pipeline.actors import ScoreActor, ScoreJob
from ray_jobs.pipeline.branches import begun, read_plan, union, unreadable_rows
from ray_jobs.pipeline.job import Pending, SeededJob
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.pools import through_pool
from ray_jobs.pipeline.scores import reward_model
from ray_jobs.seeds.read import SeedSource
from ray_jobs.storage.store import Store

PAIRS = "pairs"
"""The one branch of the plan, in the place of an evolver."""


class ScorePairsJob(SeededJob):
    """Every pair of a dataset becomes one record, of round 0, with its scores. Raises ConfigError."""

    kind = "score"

    def __init__(self, config: ScoreConfig) -> None:
        super().__init__(config)
        self._scorer = config.scorer
        check_scorer(config.scorer)

    def stream(self, store: Store, pending: Pending, monitor: Monitor) -> Dataset:
        """Plan, score."""
        pairs = union(
            through_pool(
                read_plan(store, name, blocks).map_batches(as_records, batch_format="pyarrow", batch_size=None),
                SCORE,
                ScoreActor,
                ScoreJob(SCORE, absolute(self._scorer), monitor),
                self._scorer.pool,
            )
            for name, blocks in pending.branches.items()
        )
        finished = union(item for item in (pairs, unreadable_rows(store, pending)) if item)
        assert finished is not None, "a stream is asked for only while rows are pending"
        return finished

    @property
    def records_per_row(self) -> int:
        """The pair itself."""
        return 1

    def settings(self) -> dict[str, Any]:
        """Those of the scorer."""
        return result_settings(self.config) | {"job": self.kind}

    def fanout(self) -> Fanout:
        """One row a pair."""
        return Fanout({PAIRS: 1.0}, split=False, samples=1, strategy_fingerprint=self.kind, run_seed=0, outputs=True)

    def pools(self) -> dict[str, PoolConfig]:
        """The scorer."""
        return {SCORE: self._scorer.pool}

    def block_rows(self) -> dict[str, int]:
        """What the scorer's pool is configured to."""
        return {PAIRS: self._scorer.pool.batch_rows}

    def pool_rows(self, pending: Pending) -> dict[str, int]:
        """All of them."""
        return {SCORE: pending.rows().get(PAIRS, 0)}

    def labels(self, run_id: str) -> RunLabels:
        """Run, scorer and reward model."""
        models = {"scorer_model": self._scorer.model, "reward_model": reward_model(self._scorer)}
        return RunLabels({"run_id": run_id, "strategy": None, **models}, {})

    def description(self) -> tuple[str, str]:
        """The scorer."""
        return "Scored pairs", f"Pairs scored with IFD and IC-IFD by `{self._scorer.model}`."

    def layout(self, run_id: str) -> Layout:
        """A record a pair, which tells where the pair stood."""
        return RoundsLayout(self.labels(run_id), tell_rows=True)

    def seed_source(self) -> SeedSource:
        """Every pair counts: those that differ in their response alone are two, and so are equal ones."""
        return replace(super().seed_source(), pairs=True)


def as_records(rows: pa.Table) -> pa.Table:
    """Planned pairs as rows with one kept round: nothing has evolved them, so they have no evolver."""
    rounds = [
        [
            {
                "round": 0,
                "parent_round": 0,
                "status": KEPT,
                "instruction": row["seed_instruction"],
                "output": row["seed_output"],
                "prompt_tokens": 0,
                "completion_tokens": 0,
            }
        ]
        for row in rows.to_pylist()
    ]
    place = rows.schema.get_field_index("evolver")
    nobody = rows.set_column(place, rows.schema.field(place), pa.nulls(rows.num_rows, pa.string()))
    return begun(nobody, rounds)
