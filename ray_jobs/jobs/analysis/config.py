"""The configuration of analyses: what is measured and by which model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from evolve.judging.records import GREEDY, VERDICT_TOKENS
from evolve.records import Sampling
from ray_jobs.config.base import HARMLESS, Kind, Strict
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.config.kinds import ANALYSES
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import OutputConfig, RewardConfig
from ray_jobs.config.secrets import Address
from ray_jobs.datasets.analyses import FOLDER
from ray_jobs.datasets.source import open_source
from ray_jobs.storage.store import Store

if TYPE_CHECKING:
    from ray_jobs.jobs.analysis.job import AnalysisJob
    from ray_jobs.report.analysed import Analysis
    from ray_jobs.report.blocks import Section
    from ray_jobs.report.view import View

Say = Callable[[str], None]


class AnalysisKind(Kind):
    """What is measured of the records of an output: by a job in a pool, without one, or the one after the other.

    A job writes into the folder of the analysis, or into `pool_folder` beside it, and leaves table and summary there;
    so does `measure` (docs/analyses.md says what a finished analysis is).
    """

    pool_folder: ClassVar[str | None] = None

    def job(self, run: AnalysisRunConfig) -> AnalysisJob | None:  # noqa: ARG002 (a pool's analysis reads it)
        """The job, with models and templates checked; None where no pool is needed. Raises ConfigError."""
        return None

    def measure(self, source: Store, store: Store, say: Say) -> None:
        """What is done without a pool, of the dataset in `source`, into `store`; once the job is finished."""

    @classmethod
    def section(cls, view: View, analysis: Analysis) -> Section | None:  # noqa: ARG003 (a section is made from them)
        """A part of the report's page for an analysis that is finished; its summary stands there as a table anyhow."""
        return None


class JudgeConfig(Strict):
    """A judge model: an engine and its pool."""

    engine: EngineConfig
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)


class EncoderConfig(Strict):
    """A sentence encoder and its pool. The fields are those of scoring.encoder.EncoderConfig."""

    model: str
    device: str = Field("auto", json_schema_extra=HARMLESS)
    max_length: int = Field(512, ge=1)
    batch: int = Field(64, ge=1, json_schema_extra=HARMLESS)
    threads: int | None = Field(None, ge=1, json_schema_extra=HARMLESS)
    pool: PoolConfig = Field(PoolConfig(batch_rows=1024, batches_in_flight=1), json_schema_extra=HARMLESS)


class RewardModelConfig(RewardConfig):
    """A reward model and its pool."""

    pool: PoolConfig = Field(PoolConfig(batch_rows=1024, batches_in_flight=1), json_schema_extra=HARMLESS)


class JudgeQuestionConfig(AnalysisKind):
    """A question to a judge, whose reply has up to `max_tokens` tokens: more for a judge that reasons first.

    With `forms` it can reply in no other way than is read, where the question has such a form.
    """

    judge: JudgeConfig
    max_tokens: int = Field(VERDICT_TOKENS, ge=1, json_schema_extra={"before": 32})
    templates: Path | None = Field(None, json_schema_extra=HARMLESS)
    forms: bool = Field(True, json_schema_extra={"before": False})

    def sampling(self) -> Sampling:
        """How the judge draws: greedily."""
        return replace(GREEDY, max_tokens=self.max_tokens)


class InstructionJudgeConfig(JudgeQuestionConfig):
    """A judge that looks at instructions one by one, with their inputs or without; with `seeds` at the seeds too."""

    seeds: bool = True
    with_input: bool = Field(True, json_schema_extra={"before": True})


class DifficultyConfig(InstructionJudgeConfig):
    """How hard a judge finds instructions, as one of five labels."""

    kind: Literal["difficulty"] = "difficulty"

    def job(self, run: AnalysisRunConfig) -> AnalysisJob:
        """A label of each instruction."""
        from ray_jobs.jobs.analysis.judging import DifficultyJob

        return DifficultyJob(run, self)


class DifficultyScoreConfig(InstructionJudgeConfig):
    """How hard a judge finds instructions, as a number from 0 to 100."""

    kind: Literal["difficulty_score"]

    def job(self, run: AnalysisRunConfig) -> AnalysisJob:
        """A number for each instruction."""
        from ray_jobs.jobs.analysis.judging import DifficultyJob

        return DifficultyJob(run, self)


class WinConfig(JudgeQuestionConfig):
    """Whose answers a judge finds better: those of the output, or those of `against`, by default the same output.

    Records meet by seed, round and sample, and by evolver unless `evolver` or `other_evolver` says whose they are.
    """

    kind: Literal["win"]
    against: Address | None = None
    evolver: str | None = None
    other_evolver: str | None = None

    def job(self, run: AnalysisRunConfig) -> AnalysisJob:
        """A verdict on each pair."""
        from ray_jobs.jobs.analysis.judging import WinJob

        return WinJob(run, self)


class DiversityConfig(AnalysisKind):
    """How far the nearest other instruction is."""

    kind: Literal["diversity"]
    encoder: EncoderConfig
    seeds: bool = True
    pool_folder: ClassVar[str | None] = "embeddings"

    def job(self, run: AnalysisRunConfig) -> AnalysisJob:
        """A vector of each instruction."""
        from ray_jobs.jobs.analysis.diversity import EncodeJob

        return EncodeJob(run, self)

    def measure(self, source: Store, store: Store, say: Say) -> None:
        """The distances between the vectors."""
        from ray_jobs.jobs.analysis.diversity import EMBEDDINGS, measure_distances

        measure_distances(source.below(f"{FOLDER}/{EMBEDDINGS}"), store, say)


class RewardAnalysisConfig(AnalysisKind):
    """How good a reward model finds the answers."""

    kind: Literal["reward"]
    reward: RewardModelConfig

    def job(self, run: AnalysisRunConfig) -> AnalysisJob:
        """A reward of each answer."""
        from ray_jobs.jobs.analysis.rewards import RewardJob

        return RewardJob(run, self)


class EvolutionRewardConfig(AnalysisKind):
    """How good a reward model finds the evolved instruction as the reply to the prompt that evolved it."""

    kind: Literal["evolution_reward"]
    reward: RewardModelConfig
    templates: Path | None = Field(None, json_schema_extra=HARMLESS)

    def job(self, run: AnalysisRunConfig) -> AnalysisJob:
        """A reward of each evolved instruction."""
        from ray_jobs.jobs.analysis.rewards import EvolutionRewardJob

        return EvolutionRewardJob(run, self)


class TrajectoriesConfig(AnalysisKind):
    """In how many ways instructions were evolved, by a rule that finds key phrases."""

    kind: Literal["trajectories"]

    def measure(self, source: Store, store: Store, say: Say) -> None:  # noqa: ARG002 (it is quick)
        """Phrases of the records."""
        from ray_jobs.jobs.analysis.local import measure_trajectories

        measure_trajectories(open_source(source), store)


class KeyPhrasesConfig(JudgeQuestionConfig):
    """In how many ways instructions were evolved, by key phrases that a model writes."""

    kind: Literal["key_phrases"]
    max_tokens: int = Field(128, ge=1, json_schema_extra={"before": 32})

    def job(self, run: AnalysisRunConfig) -> AnalysisJob:
        """Phrases of each evolution."""
        from ray_jobs.jobs.analysis.judging import KeyPhrasesJob

        return KeyPhrasesJob(run, self)


class Top1Config(AnalysisKind):
    """How sure evolvers were of their tokens."""

    kind: Literal["top1"]

    def measure(self, source: Store, store: Store, say: Say) -> None:  # noqa: ARG002 (it is quick)
        """Distributions over the records."""
        from ray_jobs.jobs.analysis.local import measure_top1

        measure_top1(open_source(source), store)


AnalysisConfig = Annotated[AnalysisKind, ANALYSES]
"""A field that holds an analysis of any kind."""


class AnalysisRunConfig(OutputConfig):
    """One analysis of the records in `source`; `output` is its folder there. `storage` is for both."""

    source: Address = Field(json_schema_extra=HARMLESS)
    analysis: AnalysisConfig
