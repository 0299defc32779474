"""A run's configuration: read from YAML, checked whole before anything starts.

Every model here refuses unknown fields. `config/identity.py` says which fields change results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, Tag, model_validator

from ray_jobs.config.base import GreedyConfig, Strict, kind_or
from ray_jobs.config.chat import ChatConfig
from ray_jobs.config.secrets import Address, Arguments, Environment, Options, Url, VariableName
from ray_jobs.config.strategies import EliminationConfig, EvolInstructConfig, RulesConfig, StrategyConfig

ENGINE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class SeedsConfig(Strict):
    """Where the seeds are and how to read them.

    `columns` are names or paths such as `instances.0.input`; "" for an input that is there but not wanted.
    """

    path: Address | tuple[Address, ...]
    format: Literal["auto", "jsonl", "json", "csv", "parquet"] = "auto"
    layout: Literal["columns", "sharegpt", "messages"] = "columns"
    columns: dict[Literal["instruction", "input", "output", "conversation"], str] = Field(default_factory=dict)
    on_error: Literal["fail_row", "stop"] = "fail_row"
    limit: int | None = Field(None, ge=1)
    storage: Options = Field(default_factory=Options)


class VllmConfig(ChatConfig):
    """A model in a vLLM engine of each actor's own.

    `arguments` go to vLLM as they are; `environment` is set in the actor's process before vLLM is imported. A value of
    either may be {from: NAME}, the variable NAME of the actor's own environment.
    """

    kind: Literal["vllm"] = "vllm"
    model: str
    reasoning: str = Field("auto", min_length=1, json_schema_extra={"before": "none"})
    reasoning_tokens: int | None = Field(4096, ge=1, json_schema_extra={"before": None})
    arguments: Arguments = Field(default_factory=dict)
    environment: Environment = Field(default_factory=dict)


class OpenAIConfig(ChatConfig):
    """A model behind an OpenAI-compatible server. The key comes from the environment variable `key_variable`."""

    kind: Literal["openai"]
    model: str
    reasoning: Literal["auto", "none"] = Field("auto", json_schema_extra={"before": "none"})
    reasoning_tokens: int | None = Field(None, ge=1)
    url: Url
    key_variable: VariableName = "OPENAI_API_KEY"
    timeout_seconds: float = Field(600, gt=0)
    retries: int = Field(8, ge=0)


class ScriptedConfig(Strict):
    """No model: deterministic replies with scripted latency and failures, for dry runs and tests."""

    kind: Literal["scripted"]
    model: str = "scripted"
    load_seconds: float = Field(0, ge=0)
    slots: int = Field(256, ge=1)
    prefill_rate: float = Field(0, ge=0)
    decode_rate: float = Field(0, ge=0)
    reply: Literal["topic", "auto_evol", "method", "autoif", "judge"] = "topic"
    median_tokens: int = Field(40, ge=1)
    sigma: float = Field(0, ge=0)
    refuse_share: float = Field(0, ge=0, le=1)
    refuse_text: str = ""
    die_after: int = Field(0, ge=0)
    exit_code: int | None = None
    marks: str = ""
    call_log: str = ""
    slot_log: str = ""


EngineConfig = Annotated[
    Annotated[VllmConfig, Tag("vllm")]
    | Annotated[OpenAIConfig, Tag("openai")]
    | Annotated[ScriptedConfig, Tag("scripted")],
    kind_or("vllm"),
]


class PoolConfig(Strict):
    """An actor pool: a fixed `size`, or `min_size` to `max_size` actors.

    `gpus` and `cpus` are Ray's logical resources an actor; with tensor parallelism `gpus` is the number of cards.
    `batch_rows` rows travel together (fewer where a run is small for its pools), `batches_in_flight` of such blocks run
    at once in an actor: their product should exceed what the engine batches, or it idles between blocks. `price` is
    what an hour of one actor costs, its share of the machine included, in whatever money.
    """

    size: int | None = Field(None, ge=1)
    min_size: int | None = Field(None, ge=1)
    max_size: int | None = Field(None, ge=1)
    gpus: float = Field(0, ge=0)
    cpus: float = Field(1, ge=0)
    batch_rows: int = Field(256, ge=1)
    batches_in_flight: int = Field(4, ge=1)
    resources: dict[str, float] = Field(default_factory=dict)
    accelerator_type: str | None = None
    price: float = Field(0, ge=0)

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
        minimum = 1 if self.min_size is None else self.min_size
        return minimum, minimum if self.max_size is None else self.max_size


class EvolverConfig(Strict):
    """One evolver: an engine and its pool. `weight` is its share of the seeds when they are split."""

    engine: EngineConfig
    pool: PoolConfig = PoolConfig()
    weight: float = Field(1, gt=0)


ResponsePrompt = Literal["bare", "paper"]
"""The template respond/NAME.txt: the task alone, or wrapped in a request for a full and right answer."""


class PoolResponderConfig(Strict):
    """A pool of its own that answers the evolved instructions of all evolvers. `prompt` is what they are wrapped in."""

    kind: Literal["pool"] = "pool"
    engine: EngineConfig
    pool: PoolConfig = PoolConfig()
    sampling: GreedyConfig = GreedyConfig()
    prompt: ResponsePrompt = "bare"


class SelfResponderConfig(Strict):
    """Each evolver answers its own instructions, in its own pool."""

    kind: Literal["evolver"]
    sampling: GreedyConfig = GreedyConfig()
    prompt: ResponsePrompt = "bare"


ResponderConfig = Annotated[
    Annotated[PoolResponderConfig, Tag("pool")] | Annotated[SelfResponderConfig, Tag("evolver")], kind_or("pool")
]


class RewardConfig(Strict):
    """A sequence classification model with one label. The fields are those of scoring.RewardConfig.

    Code that comes with a model's files runs only where `trust_remote_code` says so.
    """

    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    token_budget: int | None = Field(None, ge=1)
    trust_remote_code: bool = False


class ModelScorerConfig(Strict):
    """A causal language model that scores pairs with IFD and IC-IFD. The fields are those of scoring.ScorerConfig.

    `reward` and `instruction_length` ask for scores beside these, taken in the same actors.
    """

    kind: Literal["model"] = "model"
    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    attention: Literal["auto", "flash", "packed", "padded"] = "auto"
    compiled: bool = False
    bfloat16_pairs: bool = True
    token_budget: int | None = Field(None, ge=1)
    mode: Literal["plain", "chat"] = "plain"
    truncate: bool = False
    max_length: int | None = Field(None, ge=2)
    threads: int | None = Field(None, ge=1)
    reward: RewardConfig | None = None
    instruction_length: bool = False
    pool: PoolConfig = PoolConfig()


class ScriptedScorerConfig(Strict):
    """No model: deterministic scores, for dry runs and tests."""

    kind: Literal["scripted"]
    model: str = "scripted"
    pool: PoolConfig = PoolConfig()


ScorerConfig = Annotated[
    Annotated[ModelScorerConfig, Tag("model")] | Annotated[ScriptedScorerConfig, Tag("scripted")], kind_or("model")
]


class BudgetConfig(Strict):
    """What all sessions of a run together may take: GPU-hours, and money at the pools' prices."""

    gpu_hours: float | None = Field(None, gt=0)
    money: float | None = Field(None, gt=0)


class LimitsConfig(Strict):
    """When a run gives up: on pools that do not move, on engines that keep dying, on a store that is away.

    `drain_seconds` is how long rows in flight may take to finish after a request to stop, or when the `budget` is
    about to be spent.
    """

    stall_seconds: float = Field(1800, gt=0)
    engine_restarts: int = Field(20, ge=0)
    drain_seconds: float = Field(600, ge=0)
    storage_seconds: float = Field(300, ge=0)
    budget: BudgetConfig = BudgetConfig()


class RayConfig(Strict):
    """The cluster. Without an address a local one is started, with as many logical CPUs as the pools need."""

    address: Address | None = None
    num_cpus: int | None = Field(None, ge=1)
    object_store_memory: int | None = Field(None, ge=78643200)


class OutputConfig(Strict):
    """What everything has that writes an output with pools: the output, when it gives up, where it runs."""

    output: Address
    storage: Options = Field(default_factory=Options)
    limits: LimitsConfig = LimitsConfig()
    ray: RayConfig = RayConfig()


class JobConfig(OutputConfig):
    """What every kind of run has: an output, and seeds."""

    seeds: SeedsConfig


class ScoreConfig(JobConfig):
    """Scoring of pairs that exist already: `seeds` names them, outputs included."""

    scorer: ScorerConfig


class RespondConfig(JobConfig):
    """Answers to instructions that exist already, without evolving: `seeds` names them, outputs included.

    `elimination` has the rules on responses, `templates` may hold a `respond/` prompt of one's own.
    """

    seed: int = 0
    responder: PoolResponderConfig
    scorer: ScorerConfig | None = None
    elimination: RulesConfig = EliminationConfig()
    templates: Path | None = None


class RunConfig(JobConfig):
    """One run: one output folder and everything that determines what ends up in it.

    `confidence_share` of the rows, by their ids, ask the evolver how sure it is of its tokens.
    """

    seed: int = 0
    confidence_share: float = Field(0.05, ge=0, le=1, json_schema_extra={"before": 1.0})
    strategy: StrategyConfig = EvolInstructConfig()
    evolvers: dict[Annotated[str, Field(pattern=ENGINE_NAME)], EvolverConfig] = Field(min_length=1)
    sharing: Literal["every", "split"] = "every"
    samples: int = Field(1, ge=1)
    keep_rounds: Literal["all", "last"] = "all"
    responder: ResponderConfig
    scorer: ScorerConfig | None = None
