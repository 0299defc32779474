"""A run's configuration: read from YAML, checked whole before anything starts.

Every model here refuses unknown fields. `settings.py` says which fields change results.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from evolve.elimination import Elimination
from evolve.records import Sampling


class Strict(BaseModel):
    """The base of all configuration: frozen, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def kind_or(default: str) -> Discriminator:
    """Tell the members of a union by their `kind`, which may be left out for `default`."""

    def tag(value: Any) -> str:
        return str(value.get("kind", default) if isinstance(value, dict) else getattr(value, "kind", default))

    return Discriminator(tag)


class SamplingConfig(Strict):
    """How completions are drawn. The defaults are those of arXiv 2412.11231."""

    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(2048, ge=1)
    stop: tuple[str, ...] = ()

    def build(self) -> Sampling:
        """The value that strategies use."""
        return Sampling(self.temperature, self.top_p, self.max_tokens, self.stop)


class GreedyConfig(SamplingConfig):
    """Sampling of the responder: greedy, so that only the instructions differ (arXiv 2412.11231)."""

    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)


class SeedsConfig(Strict):
    """Where the seeds are and how to read them."""

    path: str | tuple[str, ...]
    format: Literal["auto", "jsonl", "json", "csv", "parquet"] = "auto"
    layout: Literal["columns", "sharegpt", "messages"] = "columns"
    columns: dict[Literal["instruction", "input", "output"], str] = Field(default_factory=dict)
    on_error: Literal["fail_row", "stop"] = "fail_row"
    limit: int | None = Field(None, ge=1)
    storage: dict[str, Any] = Field(default_factory=dict)


class EliminationConfig(Strict):
    """The elimination rules one by one; see evolve.elimination for what each does."""

    equal: bool = False
    leaked_words: bool = True
    truncated: bool = True
    unchanged: bool = True
    refusal: bool = True
    punctuation_only: bool = True


PRESETS = {"none": Elimination.none(), "rules": Elimination(), "wizardlm": Elimination.wizardlm()}
"""Elimination by name: `none` is the setting of arXiv 2412.11231, `rules` all but the judge, `wizardlm` all."""


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)}, or rules one by one")
    return asdict(PRESETS[value])


class EvolInstructConfig(Strict):
    """Evol-Instruct. `elimination` is a preset's name or the rules one by one."""

    kind: Literal["evol_instruct"] = "evol_instruct"
    rounds: int = Field(1, ge=1, le=100)
    breadth: bool = True
    complicate_input: bool = False
    elimination: Annotated[EliminationConfig, BeforeValidator(_preset)] = EliminationConfig()
    templates: Path | None = None
    sampling: SamplingConfig = SamplingConfig()

    def rules(self) -> Elimination:
        """The rules that are on."""
        return Elimination(**self.elimination.model_dump())


class VllmConfig(Strict):
    """A model in a vLLM engine of each actor's own.

    `arguments` go to vLLM as they are; `environment` is set in the actor's process before vLLM is imported.
    """

    kind: Literal["vllm"] = "vllm"
    model: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)


class OpenAIConfig(Strict):
    """A model behind an OpenAI-compatible server. The key comes from the environment variable `key_variable`."""

    kind: Literal["openai"]
    model: str
    url: str = Field(pattern=r"^https?://")
    key_variable: str = "OPENAI_API_KEY"
    timeout_seconds: float = Field(600, gt=0)
    retries: int = Field(8, ge=0)


class ScriptedConfig(Strict):
    """No model: deterministic replies with scripted latency and failures, for dry runs and tests."""

    kind: Literal["scripted"]
    model: str = "scripted"
    slots: int = Field(256, ge=1)
    prefill_rate: float = Field(0, ge=0)
    decode_rate: float = Field(0, ge=0)
    median_tokens: int = Field(40, ge=1)
    sigma: float = Field(0, ge=0)
    refuse_share: float = Field(0, ge=0, le=1)
    refuse_text: str = ""
    die_after: int = Field(0, ge=0)
    exit_code: int | None = None
    marks: str = ""
    call_log: str = ""


EngineConfig = Annotated[
    Annotated[VllmConfig, Tag("vllm")]
    | Annotated[OpenAIConfig, Tag("openai")]
    | Annotated[ScriptedConfig, Tag("scripted")],
    kind_or("vllm"),
]


class PoolConfig(Strict):
    """An actor pool: a fixed `size`, or `min_size` to `max_size` actors.

    `gpus` and `cpus` are Ray's logical resources an actor; with tensor parallelism `gpus` is the number of cards.
    `batch_rows` rows travel together, `batches_in_flight` of them run at once in an actor: their product should
    exceed what the engine batches, or it idles between batches.
    """

    size: int | None = Field(None, ge=1)
    min_size: int | None = Field(None, ge=1)
    max_size: int | None = Field(None, ge=1)
    gpus: float = Field(0, ge=0)
    cpus: float = Field(1, ge=0)
    batch_rows: int = Field(128, ge=1)
    batches_in_flight: int = Field(4, ge=1)
    resources: dict[str, float] = Field(default_factory=dict)
    accelerator_type: str | None = None

    @model_validator(mode="after")
    def _one_way_to_size(self) -> Self:
        if self.size is not None and (self.min_size is not None or self.max_size is not None):
            raise ValueError("give size, or min_size and max_size, not both")
        if self.bounds[0] > self.bounds[1]:
            raise ValueError(f"min_size {self.bounds[0]} is above max_size {self.bounds[1]}")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest number of actors."""
        if self.size is not None:
            return self.size, self.size
        least = 1 if self.min_size is None else self.min_size
        return least, max(least, 1) if self.max_size is None else self.max_size


class EvolverConfig(Strict):
    """One evolver: an engine and its pool. `weight` is its share of the seeds when they are split."""

    engine: EngineConfig
    pool: PoolConfig = PoolConfig()
    weight: float = Field(1, gt=0)


class PoolResponderConfig(Strict):
    """A pool of its own that answers the evolved instructions of all evolvers."""

    kind: Literal["pool"] = "pool"
    engine: EngineConfig
    pool: PoolConfig = PoolConfig()
    sampling: GreedyConfig = GreedyConfig()


class SelfResponderConfig(Strict):
    """Each evolver answers its own instructions, in its own pool."""

    kind: Literal["evolver"]
    sampling: GreedyConfig = GreedyConfig()


ResponderConfig = Annotated[
    Annotated[PoolResponderConfig, Tag("pool")] | Annotated[SelfResponderConfig, Tag("evolver")], kind_or("pool")
]


class ModelScorerConfig(Strict):
    """A causal language model that scores pairs with IFD and IC-IFD. The fields are those of scoring.ScorerConfig."""

    kind: Literal["model"] = "model"
    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    attention: Literal["auto", "flash", "packed", "padded"] = "auto"
    token_budget: int | None = Field(None, ge=1)
    mode: Literal["plain", "chat"] = "plain"
    truncate: bool = False
    max_length: int | None = Field(None, ge=2)
    threads: int | None = Field(None, ge=1)
    pool: PoolConfig = PoolConfig()


class ScriptedScorerConfig(Strict):
    """No model: deterministic scores, for dry runs and tests."""

    kind: Literal["scripted"]
    model: str = "scripted"
    pool: PoolConfig = PoolConfig()


ScorerConfig = Annotated[
    Annotated[ModelScorerConfig, Tag("model")] | Annotated[ScriptedScorerConfig, Tag("scripted")], kind_or("model")
]


class LimitsConfig(Strict):
    """When a run gives up: on pools that do not move, on engines that keep dying, on a store that is away.

    `drain_seconds` is how long rows in flight may take to finish after a request to stop.
    """

    stall_seconds: float = Field(1800, gt=0)
    engine_restarts: int = Field(20, ge=0)
    drain_seconds: float = Field(600, ge=0)
    storage_seconds: float = Field(300, ge=0)


class RayConfig(Strict):
    """The cluster. Without an address a local one is started, with as many logical CPUs as the pools need."""

    address: str | None = None
    num_cpus: int | None = Field(None, ge=1)
    object_store_memory: int | None = Field(None, ge=78643200)


class JobConfig(Strict):
    """What every kind of run has: an output, what it reads, when it gives up, where it runs."""

    output: str
    storage: dict[str, Any] = Field(default_factory=dict)
    seeds: SeedsConfig
    limits: LimitsConfig = LimitsConfig()
    ray: RayConfig = RayConfig()


class ScoreConfig(JobConfig):
    """Scoring of pairs that exist already: `seeds` names them, outputs included."""

    scorer: ScorerConfig


class RunConfig(JobConfig):
    """One run: one output folder and everything that determines what ends up in it."""

    seed: int = 0
    strategy: EvolInstructConfig = EvolInstructConfig()
    evolvers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], EvolverConfig] = Field(min_length=1)
    sharing: Literal["every", "split"] = "every"
    samples: int = Field(1, ge=1)
    keep_rounds: Literal["all", "last"] = "all"
    responder: ResponderConfig
    scorer: ScorerConfig | None = None
