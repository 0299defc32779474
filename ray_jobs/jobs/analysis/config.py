"""The configuration of analyses: what is measured and by which model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Tag

from evolve.judging.records import GREEDY, VERDICT_TOKENS
from evolve.records import Sampling
from ray_jobs.config.base import Strict, kind_or
from ray_jobs.config.run import EngineConfig, OutputConfig, PoolConfig, RewardConfig
from ray_jobs.config.secrets import Address


class JudgeConfig(Strict):
    """A judge model: an engine and its pool."""

    engine: EngineConfig
    pool: PoolConfig = PoolConfig()


class EncoderConfig(Strict):
    """A sentence encoder and its pool. The fields are those of scoring.encoder.EncoderConfig."""

    model: str
    device: str = "auto"
    max_length: int = Field(512, ge=1)
    batch: int = Field(64, ge=1)
    threads: int | None = Field(None, ge=1)
    pool: PoolConfig = PoolConfig(batch_rows=1024, batches_in_flight=1)


class RewardModelConfig(RewardConfig):
    """A reward model and its pool."""

    pool: PoolConfig = PoolConfig(batch_rows=1024, batches_in_flight=1)


class JudgeQuestionConfig(Strict):
    """A question to a judge, whose reply has up to `max_tokens` tokens: more for a judge that reasons first.

    With `forms` it can reply in no other way than is read, where the question has such a form.
    """

    judge: JudgeConfig
    max_tokens: int = Field(VERDICT_TOKENS, ge=1)
    templates: Path | None = None
    forms: bool = Field(True, json_schema_extra={"before": False})

    def sampling(self) -> Sampling:
        """How the judge draws: greedily."""
        return replace(GREEDY, max_tokens=self.max_tokens)


class InstructionJudgeConfig(JudgeQuestionConfig):
    """A judge that looks at instructions one by one, with their inputs or without; with `seeds` at the seeds too."""

    seeds: bool = True
    with_input: bool = True


class DifficultyConfig(InstructionJudgeConfig):
    """How hard a judge finds instructions, as one of five labels."""

    kind: Literal["difficulty"] = "difficulty"


class DifficultyScoreConfig(InstructionJudgeConfig):
    """How hard a judge finds instructions, as a number from 0 to 100."""

    kind: Literal["difficulty_score"]


class WinConfig(JudgeQuestionConfig):
    """Whose answers a judge finds better: those of the output, or those of `against`, by default the same output.

    Records meet by seed, round and sample, and by evolver unless `evolver` or `other_evolver` says whose they are.
    """

    kind: Literal["win"]
    against: Address | None = None
    evolver: str | None = None
    other_evolver: str | None = None


class DiversityConfig(Strict):
    """How far the nearest other instruction is."""

    kind: Literal["diversity"]
    encoder: EncoderConfig
    seeds: bool = True


class RewardAnalysisConfig(Strict):
    """How good a reward model finds the answers."""

    kind: Literal["reward"]
    reward: RewardModelConfig


class EvolutionRewardConfig(Strict):
    """How good a reward model finds the evolved instruction as the reply to the prompt that evolved it."""

    kind: Literal["evolution_reward"]
    reward: RewardModelConfig
    templates: Path | None = None


class TrajectoriesConfig(Strict):
    """In how many ways instructions were evolved, by a rule that finds key phrases."""

    kind: Literal["trajectories"]


class KeyPhrasesConfig(JudgeQuestionConfig):
    """In how many ways instructions were evolved, by key phrases that a model writes."""

    kind: Literal["key_phrases"]
    max_tokens: int = Field(128, ge=1)


class Top1Config(Strict):
    """How sure evolvers were of their tokens."""

    kind: Literal["top1"]


JudgeAnalysisConfig = DifficultyConfig | DifficultyScoreConfig | WinConfig | KeyPhrasesConfig
AnyAnalysis = (
    Annotated[DifficultyConfig, Tag("difficulty")]
    | Annotated[DifficultyScoreConfig, Tag("difficulty_score")]
    | Annotated[WinConfig, Tag("win")]
    | Annotated[DiversityConfig, Tag("diversity")]
    | Annotated[RewardAnalysisConfig, Tag("reward")]
    | Annotated[EvolutionRewardConfig, Tag("evolution_reward")]
    | Annotated[TrajectoriesConfig, Tag("trajectories")]
    | Annotated[KeyPhrasesConfig, Tag("key_phrases")]
    | Annotated[Top1Config, Tag("top1")]
)
AnalysisConfig = Annotated[AnyAnalysis, kind_or("difficulty")]


class AnalysisRunConfig(OutputConfig):
    """One analysis of the records in `source`; `output` is its folder there. `storage` is for both."""

    source: Address
    analysis: AnalysisConfig
