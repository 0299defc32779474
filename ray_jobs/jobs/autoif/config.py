"""The configuration of an AutoIF run: every constant of evolve.autoif.rules, the models, the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Tag, model_validator

from evolve.autoif.rules import PAPER, CrossValidation, Order, Rules, Threshold
from evolve.autoif.rules import PRESETS as RULES
from evolve.sandbox import PROTECTIONS, Limits, Protection
from ray_jobs.config.base import MODEL, SamplingConfig, Strict, kind_or
from ray_jobs.config.run import ENGINE_NAME, EngineConfig, JobConfig, PoolConfig, ScorerConfig

DEFAULT_CLASSIFIER = "MoritzLaurer/mDeBERTa-v3-base-xnli-multilingual-nli-2mil7"
GROUPS = ("augment_sampling", "verify_sampling", "respond_sampling", "cross_validation")
"""The settings of which a part may be given; the preset fills in the rest."""


class ThresholdConfig(Strict):
    """The least value that passes; with `strict` it must be exceeded."""

    at_least: float
    strict: bool = False

    def build(self) -> Threshold:
        """The value that the rules use."""
        return Threshold(self.at_least, self.strict)


class CrossValidationConfig(Strict):
    """As evolve.autoif.rules.CrossValidation."""

    min_functions: int = Field(ge=1)
    min_cases: int = Field(ge=1)
    case: ThresholdConfig
    function: ThresholdConfig
    drop_lines_with: tuple[str, ...]

    def build(self) -> CrossValidation:
        """The value that the rules use."""
        case, function = self.case.build(), self.function.build()
        return CrossValidation(self.min_functions, self.min_cases, case, function, self.drop_lines_with)


class SandboxConfig(Strict):
    """What model-written functions may use, and the protections that a machine may lack.

    Each actor that runs functions starts `servers` sandbox processes of its own.
    """

    memory_mb: int = Field(512, ge=64)
    servers: int = Field(1, ge=1)
    allow_missing: tuple[Protection, ...] = ()

    @property
    def required(self) -> frozenset[Protection]:
        """The protections without which nothing runs."""
        return PROTECTIONS - set(self.allow_missing)


class AutoIFStrategyConfig(Strict):
    """The constants, which `preset` fills in where they are not given; see evolve.autoif.rules.Rules for each.

    `constraints` is a text file of seed instructions, one a line; without it the shipped ones are used.
    """

    kind: Literal["autoif"]
    preset: Literal["paper", "official", "autoif_paper"] = "paper"
    constraints: Path | None = None
    templates: Path | None = None
    sandbox: SandboxConfig = SandboxConfig()
    augment_calls: int = Field(ge=1)
    instructions_a_call: int = Field(ge=1)
    near_duplicate: float | None = Field(gt=0, le=1)
    augment_sampling: SamplingConfig
    replies: int = Field(ge=1)
    verify_sampling: SamplingConfig
    check_seconds: float = Field(gt=0)
    cross_validation: CrossValidationConfig
    back_translations: int = Field(ge=0)
    nli: bool
    queries: int = Field(ge=1)
    query_characters: tuple[int, int]
    order: Order
    responses: int = Field(ge=1)
    respond_sampling: SamplingConfig
    keep_truncated: bool
    forms: bool = Field(True, json_schema_extra={"before": False})
    leaked_reasoning: bool = Field(True, json_schema_extra={"before": False})
    response: ThresholdConfig | None
    quality: ThresholdConfig | None
    quality_tokens: int = Field(ge=1)
    chosen: ThresholdConfig
    rejected: float = Field(ge=0, lt=1)
    pair_side: int = Field(ge=0)

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        preset = asdict(RULES.get(str(raw.get("preset", "paper")), PAPER))
        filled = {**preset, **raw}
        for name in GROUPS:
            if isinstance(given := raw.get(name), Mapping) and given.get("defaults") != MODEL:
                filled[name] = {**preset[name], **given}
        return filled

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.pair_side and self.response is None:
            raise ValueError("pair_side: pairs need responses that functions have looked at; give response as well")
        if self.nli and not self.back_translations:
            raise ValueError("nli: needs back_translations above 0")
        return self

    def build(self) -> Rules:
        """The rules as the steps use them."""
        given = {name: getattr(self, name) for name in Rules.__dataclass_fields__}
        built = (ThresholdConfig, CrossValidationConfig, SamplingConfig)
        plain: dict[str, Any] = {
            name: value.build() if isinstance(value, built) else value for name, value in given.items()
        }
        return Rules(**plain)

    def limits(self) -> Limits:
        """What one function may use."""
        return Limits(self.check_seconds, self.check_seconds, self.sandbox.memory_mb * 2**20)


class ModelConfig(Strict):
    """An engine and its pool."""

    engine: EngineConfig
    pool: PoolConfig = PoolConfig()


class ClassifierConfig(Strict):
    """A sequence-classification model for NLI, in a pool of its own. Its labels are read from its configuration."""

    kind: Literal["classifier"] = "classifier"
    model: str = DEFAULT_CLASSIFIER
    device: str = "auto"
    batch_size: int = Field(32, ge=1)
    pool: PoolConfig = PoolConfig()


class JudgeNliConfig(Strict):
    """The judge model tells whether a back-translation contradicts its instruction."""

    kind: Literal["judge"]


NliConfig = Annotated[
    Annotated[ClassifierConfig, Tag("classifier")] | Annotated[JudgeNliConfig, Tag("judge")], kind_or("classifier")
]


class AutoIFConfig(JobConfig):
    """One AutoIF run. `seeds` are the queries; each evolver makes instructions of its own, the responder answers all.

    `judge` scores quality, and labels back-translations where `nli` says so.
    """

    seed: int = 0
    strategy: AutoIFStrategyConfig
    evolvers: dict[Annotated[str, Field(pattern=ENGINE_NAME)], ModelConfig] = Field(min_length=1)
    responder: ModelConfig
    judge: ModelConfig | None = None
    nli: NliConfig = ClassifierConfig()
    scorer: ScorerConfig | None = None

    @model_validator(mode="after")
    def _has_a_judge(self) -> Self:
        if self.judge is None and self.strategy.quality is not None:
            raise ValueError(
                "judge: is missing; strategy.quality needs a model that scores (quality: null leaves it out)"
            )
        if self.judge is None and self.strategy.nli and isinstance(self.nli, JudgeNliConfig):
            raise ValueError("judge: is missing; nli of kind judge needs it")
        return self
