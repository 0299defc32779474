"""The analyses by a reward model: how good the answers are, and how good evolved instructions are as replies.

The paper's Table 14 is of the second kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from ray_jobs.datasets.source import Source
from ray_jobs.jobs.analysis.config import (
    AnalysisRunConfig,
    EvolutionRewardConfig,
    RewardAnalysisConfig,
    RewardModelConfig,
)
from ray_jobs.jobs.analysis.evolutions import EvolvePrompts, evolutions
from ray_jobs.jobs.analysis.job import AnalysisJob
from ray_jobs.jobs.analysis.planning import Row, answered
from ray_jobs.jobs.analysis.tables import EVOLUTION_REWARD, REWARD, FindingsLayout, Values, with_findings
from ray_jobs.jobs.preflight import absolute, check_reward_model
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.pipeline.monitor import Monitor, StatsReporter
from scoring import Pair, Reward, RewardConfig, RewardScorer
from scoring.reward import OUT_OF_MEMORY

POOL = "reward"
"""The pool, and the stage at which its rows fail."""


class RewardJob(AnalysisJob):
    """The reward of each record. Raises ConfigError."""

    pool_name = POOL
    values: ClassVar[tuple[pa.Field, ...]] = REWARD

    def __init__(self, config: AnalysisRunConfig, analysis: RewardAnalysisConfig | EvolutionRewardConfig) -> None:
        super().__init__(config, analysis.kind, analysis.reward.pool, FindingsLayout(self.values), seeds=False)
        check_reward_model("reward", analysis.reward)
        self._reward = analysis.reward

    def rows(self, source: Source) -> Iterator[list[Row]]:
        """Records with their outputs; a seed has none."""
        return answered(source)

    def actor(self, monitor: Monitor) -> tuple[type[Any], Any]:
        """A reward model."""
        return RewardActor, RewardTask(absolute(self._reward), self.values, monitor)


class EvolutionRewardJob(RewardJob):
    """The reward of each evolved instruction as the reply to its evolve prompt. Raises ConfigError."""

    values = EVOLUTION_REWARD

    def __init__(self, config: AnalysisRunConfig, analysis: EvolutionRewardConfig) -> None:
        super().__init__(config, analysis)
        self._prompts = EvolvePrompts.load(analysis.templates)

    def settings(self) -> dict[str, Any]:
        """Those of the analysis, and a digest of the prompts."""
        return super().settings() | {"prompts": self._prompts.digest()}

    def rows(self, source: Source) -> Iterator[list[Row]]:
        """The prompts in the place of instructions, with the evolved instructions as their answers."""
        return evolutions(source, self._prompts)


@dataclass(frozen=True)
class RewardTask:
    """What an actor with a reward model needs to know."""

    reward: RewardModelConfig
    values: Values
    monitor: Monitor


class RewardActor:
    """Gives each pair of a block its reward."""

    def __init__(self, job: RewardTask) -> None:
        self._reporter, self._values = StatsReporter(job.monitor, POOL), job.values
        with self._reporter.loading():
            settings = job.reward.model_dump(exclude={"pool"})
            self._scorer = RewardScorer(RewardConfig(**settings))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Score a block. Once the run is to stop, blocks come back without an outcome."""
        rows = table.to_pylist()
        if self._reporter.stopped:
            return with_findings(table, [{} for _ in rows], self._values)
        with self._reporter.rows(len(rows)) as stats:
            pairs = [Pair(row["instruction"], row["input"], row["output"] or "") for row in rows]
            findings = [finding_row(reward, self._values[0].name) for reward in self._scorer.score(pairs)]
            stats.count(findings)
        self._reporter.report()
        return with_findings(table, findings, self._values)


def finding_row(reward: Reward, column: str) -> Row:
    """A reward in the columns of `with_findings`. Where memory was short the pair has failed: it can be tried again."""
    if reward.value is not None:
        return {"status": KEPT, column: reward.value}
    if reward.note == OUT_OF_MEMORY:
        return {"status": FAILED, "stage": POOL, "reason": "OutOfMemory", "error": reward.note}
    return {"status": REJECTED, "stage": POOL, "reason": "no_reward", "error": reward.note}
