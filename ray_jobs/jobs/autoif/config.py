"""The configuration of an AutoIF run: every constant of evolve.autoif.rules, the models, the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, Tag, model_validator

from evolve.autoif.rules import PAPER, CrossValidation, Order, Rules, Threshold
from evolve.autoif.rules import PRESETS as RULES
from evolve.sandbox import PROTECTIONS, Limits, Protection
from ray_jobs.config.base import HARMLESS, MODEL, SamplingConfig, Strict, kind_or
from ray_jobs.config.engine_kinds import EngineConfig
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import ENGINE_NAME, JobConfig, ScorerConfig
from ray_jobs.config.sharing import check_sharing
from ray_jobs.config.strategies import StrategyKind

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


def _needs_only_its_kind(schema: dict[str, Any]) -> None:
    """What a preset fills in need not be given, which no annotation of a field says."""
    schema["required"] = [name for name in schema["required"] if name == "kind"]


class CrossValidationConfig(Strict):
    """As evolve.autoif.rules.CrossValidation."""

    model_config = ConfigDict(json_schema_extra=_needs_only_its_kind)

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
    servers: int = Field(1, ge=1, json_schema_extra=HARMLESS)
    allow_missing: tuple[Protection, ...] = Field((), json_schema_extra=HARMLESS)

    @property
    def required(self) -> frozenset[Protection]:
        """The protections without which nothing runs."""
        return PROTECTIONS - set(self.allow_missing)


class AutoIFStrategyConfig(StrategyKind):
    """The constants, which `preset` fills in where they are not given; see evolve.autoif.rules.Rules for each.

    `constraints` is a text file of seed instructions, one a line; without it the shipped ones are used.
    """

    model_config = ConfigDict(json_schema_extra=_needs_only_its_kind)

    kind: Literal["autoif"]
    run_config: ClassVar[str] = "ray_jobs.jobs.finish_config:FinishingAutoIFConfig"
    preset: Literal["paper", "official", "autoif_paper", "paper_0.1"] = Field("paper", json_schema_extra=HARMLESS)
    constraints: Path | None = Field(None, json_schema_extra=HARMLESS)
    templates: Path | None = Field(None, json_schema_extra=HARMLESS)
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
    order: Order = Field(json_schema_extra={"before": "query_first"})
    responses: int = Field(ge=1)
    respond_sampling: SamplingConfig
    keep_truncated: bool = Field(json_schema_extra={"before": False})
    forms: bool = Field(True, json_schema_extra={"before": False})
    leaked_reasoning: bool = Field(True, json_schema_extra={"before": False})
    response: ThresholdConfig | None
    quality: ThresholdConfig | None
    quality_tokens: int = Field(ge=1, json_schema_extra={"before": 256})
    expected: bool = Field(False, json_schema_extra={"before": False})
    chosen: ThresholdConfig
    rejected: float = Field(ge=0, lt=1)
    pair_side: int = Field(ge=0)
    _given: frozenset[str] = frozenset()

    @property
    def given(self) -> frozenset[str]:
        """The settings that were given, so that the preset did not fill them in."""
        return self._given

    @model_validator(mode="wrap")
    @classmethod
    def _filled_in(cls, raw: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(raw, Mapping):
            return build(raw)
        preset = asdict(RULES.get(str(raw.get("preset", "paper")), PAPER))
        filled = {**preset, **raw}
        for name in GROUPS:
            if isinstance(given := raw.get(name), Mapping) and given.get("defaults") != MODEL:
                filled[name] = {**preset[name], **given}
        built = build(filled)
        built._given = frozenset(map(str, raw))
        return built

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.pair_side and self.response is None:
            raise ValueError("pair_side: pairs need responses that functions have looked at; give response as well")
        if self.nli and not self.back_translations:
            raise ValueError("nli: needs back_translations above 0")
        if self.expected and self.quality is None:
            raise ValueError("expected: needs the judge's score; give quality as well")
        if self.expected and not self.forms:
            raise ValueError("expected: needs forms: true, for only the answers of a form can be weighed")
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
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)


class AutoIFEvolverConfig(ModelConfig):
    """An engine and its pool; or `shares`, the evolver whose pool and loaded engine it uses, under its own adapter."""

    shares: str | None = Field(None, json_schema_extra=HARMLESS)


class ClassifierConfig(Strict):
    """A sequence-classification model for NLI, in a pool of its own. Its labels are read from its configuration."""

    kind: Literal["classifier"] = "classifier"
    model: str = DEFAULT_CLASSIFIER
    device: str = Field("auto", json_schema_extra=HARMLESS)
    batch_size: int = Field(32, ge=1, json_schema_extra=HARMLESS)
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)


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
    evolvers: dict[Annotated[str, Field(pattern=ENGINE_NAME)], AutoIFEvolverConfig] = Field(min_length=1)
    responder: ModelConfig
    judge: ModelConfig | None = None
    nli: NliConfig = ClassifierConfig()
    scorer: ScorerConfig | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        check_sharing(self.evolvers)
        if self.judge is None and self.strategy.quality is not None:
            raise ValueError(
                "judge: is missing; strategy.quality needs a model that scores (quality: null leaves it out)"
            )
        if self.judge is None and self.strategy.nli and isinstance(self.nli, JudgeNliConfig):
            raise ValueError("judge: is missing; nli of kind judge needs it")
        return self
