"""The kinds of engines: what each is configured with, and how it is built in an actor."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from evolve.engine import Engine
from evolve.engines.quota import Limits, paired
from evolve.engines.reasoning import AUTO
from evolve.errors import SettingError
from ray_jobs.config.base import HARMLESS, Kind, Strict
from ray_jobs.config.chat import ChatConfig
from ray_jobs.config.kinds import ENGINES
from ray_jobs.config.renamed import moved
from ray_jobs.config.secrets import Arguments, Environment, Secret, Urls, VariableNames, revealed

PLACEMENT: list[JsonValue] = [
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "swap_space",
    "block_size",
    "download_dir",
]
"""vLLM's arguments that say where and how fast, not what."""


class EngineKind(Kind):
    """An engine of each actor's own. `model` names it in records; with `holds_weights` it is a folder or a hub id.

    With `server` the work is done elsewhere, by what is perhaps paid by the token and may be away.
    """

    model: str
    holds_weights: ClassVar[bool] = False
    server: ClassVar[bool] = False

    @abstractmethod
    def build(self) -> Engine:
        """Load it, in the actor's process. Imports only what this engine needs. Raises ConfigError."""

    @property
    def label(self) -> str:
        """How records name the model."""
        return self.model

    def hidden_texts(self) -> tuple[str, ...]:
        """What no error of the engine may repeat, beside the secrets of its configuration."""
        return ()

    def max_concurrency(self) -> int | None:
        """How many calls it runs at once, as far as its configuration says."""
        return None


class VllmConfig(ChatConfig, EngineKind):
    """A model in a vLLM engine of each actor's own.

    `arguments` go to vLLM as they are; `environment` is set in the actor's process before vLLM is imported. A value of
    either may be {from: NAME}, the variable NAME of the actor's own environment. `control_tokens` in texts of seeds and
    replies are read as text (`split`), fail their round (`refuse`), or are obeyed (`keep`). `adapter` is the folder of
    a LoRA adapter, as peft writes it, under which the model answers.
    """

    kind: Literal["vllm"] = "vllm"
    model: str
    reasoning: str = Field(AUTO, min_length=1, json_schema_extra={"before": "none"})
    reasoning_tokens: int | None = Field(4096, ge=1, json_schema_extra={"before": None})
    control_tokens: Literal["split", "refuse", "keep"] = Field("split", json_schema_extra={"before": "keep"})
    arguments: Arguments = Field(default_factory=dict, json_schema_extra={"identity_without": PLACEMENT})
    environment: Environment = Field(default_factory=dict, json_schema_extra=HARMLESS)
    adapter: str | None = Field(None, min_length=1, json_schema_extra={"before": None})
    holds_weights: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The model, and its adapter."""
        return f"{self.model} + {self.adapter}" if self.adapter else self.model

    @property
    def others(self) -> tuple[str, ...]:
        """Adapters beside its own that it has ready."""
        return ()

    def build(self) -> Engine:
        """Load the model."""
        arguments = revealed(self.arguments, "arguments")
        os.environ.update(revealed(self.environment, "environment"))
        from evolve.engines.vllm_engine import VllmEngine

        chat, adapters = self.chat(), (self.adapter, self.others)
        thinking = (self.reasoning, self.reasoning_tokens)
        return VllmEngine(self.model, arguments, chat, *thinking, self.control_tokens, *adapters)


class SharedVllmConfig(VllmConfig):
    """A vLLM engine on which several answer, each under an adapter of its own. Made by jobs, of what they are given."""

    adapters: tuple[str, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """Those of all who share it."""
        return self.adapters


class OpenAIConfig(ChatConfig, EngineKind):
    """A model behind OpenAI-compatible servers. The key comes from the environment variable `api_key_env`.

    Of several `url`s each has the one key or one of its own; one URL may have several keys. Each actor has at most
    `max_requests` under way at each URL and key, fewer while that is of no use, and begins as many rows as keep these
    under way. `requests_per_minute` and `tokens_per_minute` are those of a key, whichever of a run's actors uses it.
    """

    kind: Literal["openai"]
    model: str
    reasoning: Literal["auto", "none"] = Field("auto", json_schema_extra={"before": "none"})
    reasoning_tokens: int | None = Field(None, ge=1, json_schema_extra={"before": None})
    url: Urls = Field(json_schema_extra=HARMLESS)
    api_key_env: VariableNames = Field("OPENAI_API_KEY", json_schema_extra=HARMLESS)
    timeout_seconds: float = Field(600, gt=0, json_schema_extra=HARMLESS)
    retries: int = Field(8, ge=0, json_schema_extra=HARMLESS)
    max_requests: int = Field(256, ge=1, json_schema_extra=HARMLESS)
    requests_per_minute: int | None = Field(None, ge=1, json_schema_extra=HARMLESS)
    tokens_per_minute: int | None = Field(None, ge=1, json_schema_extra=HARMLESS)
    server: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, raw: Any) -> Any:
        return moved(raw, {"key_variable": "api_key_env"}, "engine of kind openai")

    @model_validator(mode="after")
    def _each_url_has_its_key(self) -> Self:
        try:
            self.places()
        except SettingError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def urls(self) -> tuple[Secret, ...]:
        """Those that are asked."""
        return self.url if isinstance(self.url, tuple) else (self.url,)

    @property
    def keys(self) -> tuple[str, ...]:
        """The variables that hold the keys."""
        return self.api_key_env if isinstance(self.api_key_env, tuple) else (self.api_key_env,)

    @property
    def asked(self) -> str:
        """The model's name on the servers."""
        return self.model

    def places(self) -> list[tuple[Secret, str]]:
        """Each URL with the variable of its key."""
        return paired(self.urls, self.keys)

    def build(self) -> Engine:
        """A client of the servers."""
        from evolve.engines.openai_engine import OpenAIEngine

        limits = Limits(self.requests_per_minute or 0, self.tokens_per_minute or 0)
        urls = [str(url) for url in revealed(self.urls, "url")]
        server = (urls, self.asked, self.keys, self.timeout_seconds, self.retries)
        thinking = (self.reasoning == AUTO, self.reasoning_tokens or 0)
        return OpenAIEngine(*server, self.chat(), *thinking, self.max_requests, limits)

    def max_concurrency(self) -> int:
        """The requests to all places."""
        return self.max_requests * len(self.places())

    def hidden_texts(self) -> tuple[str, ...]:
        """The keys."""
        return tuple(os.environ.get(key, "") for key in self.keys)


class TestingConfig(Strict):
    """How a scripted engine behaves: see evolve.testing.scripted_engine.Script for each."""

    __test__: ClassVar[bool] = False

    load_seconds: float = Field(0, ge=0, json_schema_extra=HARMLESS)
    slots: int = Field(256, ge=1, json_schema_extra=HARMLESS)
    prefill_rate: float = Field(0, ge=0, json_schema_extra=HARMLESS)
    decode_rate: float = Field(0, ge=0, json_schema_extra=HARMLESS)
    reply: Literal["topic", "auto_evol", "method", "autoif", "judge"] = "topic"
    median_tokens: int = Field(40, ge=1)
    sigma: float = Field(0, ge=0)
    refuse_share: float = Field(0, ge=0, le=1)
    refuse_text: str = ""
    die_text: str = Field("", json_schema_extra=HARMLESS)
    die_after: int = Field(0, ge=0, json_schema_extra=HARMLESS)
    exit_code: int | None = Field(None, json_schema_extra=HARMLESS)
    marks: str = Field("", json_schema_extra=HARMLESS)
    call_log: str = Field("", json_schema_extra=HARMLESS)
    slot_log: str = Field("", json_schema_extra=HARMLESS)


class ScriptedConfig(EngineKind):
    """No model: deterministic replies, with latency and failures as `testing` has them. For dry runs and tests."""

    kind: Literal["scripted"]
    model: str = "scripted"
    testing: TestingConfig = Field(TestingConfig(), json_schema_extra={"identity": "inline"})

    @model_validator(mode="before")
    @classmethod
    def _old_places(cls, raw: Any) -> Any:
        return moved(raw, {name: f"testing.{name}" for name in TestingConfig.model_fields}, "engine of kind scripted")

    def build(self) -> Engine:
        """The engine at once, or after its scripted time."""
        from evolve.testing.scripted_engine import Script, ScriptedEngine

        return ScriptedEngine(Script(**self.testing.model_dump()))

    def max_concurrency(self) -> int:
        """Its slots."""
        return self.testing.slots


def is_server(model: Any) -> bool:
    """Whether a pool's model is an engine whose work a server does."""
    return isinstance(model, EngineKind) and model.server


EngineConfig = Annotated[EngineKind, ENGINES]
"""A field that holds an engine of any kind."""
