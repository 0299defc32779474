"""The analyses by a reward model: how good the answers are, and how good evolved instructions are as replies.

The paper's Table 14 is of the second kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from ray_jobs.datasets.source import Source
from ray_jobs.jobs.analysis.actors import FindingsActor
from ray_jobs.jobs.analysis.config import (
    AnalysisRunConfig,
    EvolutionRewardConfig,
    RewardAnalysisConfig,
    RewardModelConfig,
)
from ray_jobs.jobs.analysis.evolutions import EvolvePrompts, evolutions
from ray_jobs.jobs.analysis.job import AnalysisJob
from ray_jobs.jobs.analysis.planning import Row, answered
from ray_jobs.jobs.analysis.tables import EVOLUTION_REWARD, REWARD, FindingsLayout, Values
from ray_jobs.jobs.preflight import check_models
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.pipeline.actor import BlockActor
from ray_jobs.pipeline.monitor import WorkerStats
from ray_jobs.pipeline.stage import Stage
from scoring import Pair, Reward, RewardConfig, RewardScorer
from scoring.reward import OUT_OF_MEMORY

POOL = "reward"
"""The pool, and the stage at which its rows fail."""


class RewardJob(AnalysisJob):
    """The reward of each record. Raises ConfigError."""

    values: ClassVar[tuple[pa.Field, ...]] = REWARD

    def __init__(self, config: AnalysisRunConfig, analysis: RewardAnalysisConfig | EvolutionRewardConfig) -> None:
        super().__init__(config, analysis.kind, FindingsLayout(self.values), seeds=False)
        self._reward = analysis.reward
        check_models([self.stage])

    def rows(self, source: Source) -> Iterator[list[Row]]:
        """Records with their outputs; a seed has none."""
        return answered(source)

    @property
    def stage(self) -> Stage:
        """A reward model."""
        return Stage(POOL, "reward", RewardActor, self._reward, self._reward.pool, self.values)


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


class RewardActor(FindingsActor, BlockActor[Row]):
    """Gives each pair its reward. Its task is the column that rewards fill."""

    @property
    def values(self) -> Values:
        """The column."""
        values: Values = self._task
        return values

    def load(self, model: RewardModelConfig) -> None:
        """Load the reward model."""
        self._scorer = RewardScorer(RewardConfig(**model.model_dump(exclude={"pool"})))

    def work(self, rows: Sequence[Row], stats: WorkerStats) -> Sequence[Row]:
        """Score a block."""
        pairs = [Pair(row["instruction"], row["input"], row["output"] or "") for row in rows]
        findings = [finding_row(reward, self.values[0].name) for reward in self._scorer.score(pairs)]
        stats.count(findings)
        return findings


def finding_row(reward: Reward, column: str) -> Row:
    """A reward in the columns of `with_findings`. Where memory was short the pair has failed: it can be tried again."""
    if reward.value is not None:
        return {"status": KEPT, column: reward.value}
    if reward.note == OUT_OF_MEMORY:
        return {"status": FAILED, "stage": POOL, "reason": "OutOfMemory", "error": reward.note}
    return {"status": REJECTED, "stage": POOL, "reason": "no_reward", "error": reward.note}
