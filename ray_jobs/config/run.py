"""A run's configuration: read from YAML, checked whole before anything starts.

Every model here refuses unknown fields. A field says in its `json_schema_extra` if it changes no results (identity.py).
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, Tag, model_validator

from ray_jobs.config.answering import AnsweringConfig, check_choice
from ray_jobs.config.base import HARMLESS, Kind, Strict, kind_or
from ray_jobs.config.engine_kinds import EngineConfig, VllmConfig
from ray_jobs.config.kinds import SCORERS
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.secrets import Address, Options
from ray_jobs.config.sharing import check_sharing, same_model
from ray_jobs.config.strategies import EliminationConfig, EvolInstructConfig, RulesConfig, StrategyConfig
from ray_jobs.config.through import ThroughConfig
from ray_jobs.config.trackers import TrackerConfig

if TYPE_CHECKING:
    from scoring.records import Scoring

log = logging.getLogger(__name__)
ENGINE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
SeedPath = Annotated[Address, Field(min_length=1)]


class SeedsConfig(Strict):
    """Where the seeds are and how to read them.

    `columns` are names or paths such as `instances.0.input`; "" for an input that is there but not wanted. `gone` says
    what becomes of rows that were planned from seeds which are removed or corrected since: the run ends and names them,
    or they are kept, or retracted, their records with them.
    """

    path: SeedPath | Annotated[tuple[SeedPath, ...], Field(min_length=1)]
    format: Literal["auto", "jsonl", "json", "csv", "parquet"] = "auto"
    layout: Literal["columns", "sharegpt", "messages"] = "columns"
    columns: dict[Literal["instruction", "input", "output", "conversation"], str] = Field(default_factory=dict)
    on_error: Literal["fail_row", "stop"] = "fail_row"
    gone: Literal["refuse", "keep", "retract"] = "refuse"
    limit: int | None = Field(None, ge=1)
    storage: Options = Field(default_factory=Options)


class EvolverConfig(Strict):
    """One evolver: an engine and its pool. `weight` is its share of the seeds, which counts when they are split.

    `shares` names the evolver whose pool and loaded engine this one uses; of its own it has the engine's adapter.
    """

    engine: EngineConfig
    shares: str | None = Field(None, json_schema_extra=HARMLESS)
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)
    weight: float = Field(1, gt=0, json_schema_extra=HARMLESS)


class PoolResponderConfig(AnsweringConfig):
    """A pool of its own that answers the evolved instructions of all evolvers. `prompt` is what they are wrapped in."""

    kind: Literal["pool"] = "pool"
    engine: EngineConfig
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)


class SelfResponderConfig(AnsweringConfig):
    """Each evolver answers its own instructions, in its own pool.

    `adapter` is the folder of the LoRA adapter under which it answers, "" for the bare model, null for the evolver's.
    """

    kind: Literal["evolver"]
    adapter: str | None = Field(None, json_schema_extra={"before": None})


ResponderConfig = Annotated[
    Annotated[PoolResponderConfig, Tag("pool")] | Annotated[SelfResponderConfig, Tag("evolver")], kind_or("pool")
]


class RewardConfig(Strict):
    """A sequence classification model with one label. The fields are those of scoring.RewardConfig.

    Code that comes with a model's files runs only where `trust_remote_code` says so.
    """

    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = Field("auto", json_schema_extra=HARMLESS)
    token_budget: int | None = Field(None, ge=1, json_schema_extra=HARMLESS)
    trust_remote_code: bool = Field(False, json_schema_extra={"before": False})


PAIRS = "bfloat16_pairs"
"""A setting of the scorer in earlier versions, which bore on speed alone."""


class ScorerKind(Kind):
    """What scores pairs, in a pool of its own. `model` names it in records.

    Answers are scored alone, or `with_reasoning` behind what the responder thought aloud.
    """

    model: str
    with_reasoning: bool = Field(False, json_schema_extra={"before": False})
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)

    @abstractmethod
    def build(self) -> Scoring:
        """Load its models, in the actor's process. Raises ScoringError where one does not serve."""

    def reward_model(self) -> str | None:
        """The reward model that it asks besides, if any."""
        return None


class ModelScorerConfig(ScorerKind):
    """A causal language model that scores pairs with IFD and IC-IFD. The fields are those of scoring.ScorerConfig.

    `reward`, `instruction_length` and `instruction_perplexity` ask for scores beside these, taken in the same actors.
    """

    kind: Literal["model"] = "model"
    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = Field("auto", json_schema_extra=HARMLESS)
    attention: Literal["auto", "flash", "packed", "padded"] = Field("auto", json_schema_extra=HARMLESS)
    compiled: bool = Field(False, json_schema_extra=HARMLESS)
    token_budget: int | None = Field(None, ge=1, json_schema_extra=HARMLESS)
    mode: Literal["plain", "chat"] = "plain"
    truncate: bool = False
    max_length: int | None = Field(None, ge=2)
    threads: int | None = Field(None, ge=1, json_schema_extra=HARMLESS)
    reward: RewardConfig | None = None
    instruction_length: bool = False
    instruction_perplexity: bool = Field(False, json_schema_extra={"before": False})
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)

    @model_validator(mode="before")
    @classmethod
    def _without_pairs(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or PAIRS not in raw:
            return raw
        log.warning("scorer.%s: passed over, for products are float32 on every CPU by now", PAIRS)
        return {name: value for name, value in raw.items() if name != PAIRS}

    def build(self) -> Scoring:
        """The scorer, and the reward model where one is asked for."""
        import scoring
        from scoring.records import Scoring

        # How the model will be run belongs into the worker's log, which else holds warnings alone.
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("scoring").setLevel(logging.INFO)
        ours = {"kind", "pool", "reward", "instruction_length", "instruction_perplexity", "with_reasoning"}
        settings = self.model_dump(exclude=ours)
        scorer = scoring.Scorer(scoring.ScorerConfig(**settings))
        reward = self.reward and scoring.RewardScorer(scoring.RewardConfig(**self.reward.model_dump()))
        return Scoring(
            scorer,
            scorer.instruction_lengths if self.instruction_length else None,
            reward.score if reward else None,
            self.instruction_perplexity,
        )

    def reward_model(self) -> str | None:
        """The configured one."""
        return self.reward.model if self.reward else None


class ScriptedScorerConfig(ScorerKind):
    """No model: deterministic scores, for dry runs and tests."""

    kind: Literal["scripted"]
    model: str = "scripted"
    pool: PoolConfig = Field(PoolConfig(), json_schema_extra=HARMLESS)

    def build(self) -> Scoring:
        """The scorer at once."""
        from scoring.records import Scoring
        from scoring.scripted import ScriptedScorer

        return Scoring(ScriptedScorer())


ScorerConfig = Annotated[ScorerKind, SCORERS]
"""A field that holds a scorer of any kind."""


class BudgetConfig(Strict):
    """What all sessions of a run together may take: GPU-hours, and money at the pools' prices."""

    gpu_hours: float | None = Field(None, gt=0)
    money: float | None = Field(None, gt=0)


def _off(value: Any) -> Any:
    # YAML reads a bare `off` as false
    return "off" if value is False else value


class LimitsConfig(Strict):
    """When a run gives up: on pools that do not move, on engines that keep dying, on a store that is away.

    `drain_seconds` is how long rows in flight may take to finish after a request to stop, or when the `budget` is
    about to be spent. Replies of engines are kept from one start to the next: what a kill may cost is what `journal`
    seconds of work gave; `auto` is 0.5 for servers and 30 for engines of one's own, `off` keeps none. No more than
    `planned_rows` rows are planned.
    """

    stall_seconds: float = Field(1800, gt=0)
    engine_restarts: int = Field(20, ge=0)
    drain_seconds: float = Field(600, ge=0)
    storage_seconds: float = Field(300, ge=0)
    budget: BudgetConfig = BudgetConfig()
    journal: Annotated[Literal["auto", "off"] | Annotated[float, Field(gt=0)], BeforeValidator(_off)] = "auto"
    planned_rows: int = Field(10_000_000, ge=1)


class RayConfig(Strict):
    """The cluster. Without an address a local one is started, with as many logical CPUs as the pools need."""

    address: Address | None = None
    num_cpus: int | None = Field(None, ge=1)
    object_store_memory: int | None = Field(None, ge=78643200)


class OutputConfig(Strict):
    """What writes an output with pools: the output, when it gives up, where it runs, `trackers` of its figures."""

    output: Address = Field(json_schema_extra=HARMLESS)
    storage: Options = Field(default_factory=Options, json_schema_extra=HARMLESS)
    limits: LimitsConfig = Field(LimitsConfig(), json_schema_extra=HARMLESS)
    ray: RayConfig = Field(RayConfig(), json_schema_extra=HARMLESS)
    trackers: tuple[TrackerConfig, ...] = Field((), json_schema_extra=HARMLESS)


class JobConfig(OutputConfig):
    """What every kind of run has: an output, and seeds."""

    seeds: SeedsConfig = Field(json_schema_extra=HARMLESS)


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
    templates: Path | None = Field(None, json_schema_extra=HARMLESS)

    @model_validator(mode="after")
    def _scores_of_choice(self) -> Self:
        check_choice(self.responder, self.scorer)
        return self


class RunConfig(JobConfig):
    """One run: one output folder and everything that determines what ends up in it.

    `confidence_share` of the rows, by their ids, ask the evolver how sure it is of its tokens. With `keep_thoughts`
    what it thinks aloud is kept in a column of its own. Whoever has a service with the same models loaded can have
    them asked `through` it; nothing of that is stored.
    """

    seed: int = 0
    confidence_share: float = Field(0.05, ge=0, le=1, json_schema_extra={"before": 1.0})
    keep_thoughts: bool = Field(False, json_schema_extra={"before": False})
    strategy: StrategyConfig = EvolInstructConfig()
    evolvers: dict[Annotated[str, Field(pattern=ENGINE_NAME)], EvolverConfig] = Field(min_length=1)
    sharing: Literal["every", "split"] = "every"
    samples: int = Field(1, ge=1)
    keep_rounds: Literal["all", "last"] = "all"
    responder: ResponderConfig
    scorer: ScorerConfig | None = None
    through: ThroughConfig | None = Field(None, exclude=True, json_schema_extra=HARMLESS)

    @model_validator(mode="after")
    def _shared_engines(self) -> Self:
        check_sharing(self.evolvers)
        check_choice(self.responder, self.scorer)
        adapted = isinstance(self.responder, SelfResponderConfig) and self.responder.adapter is not None
        engines = [evolver.engine for evolver in self.evolvers.values()]
        if adapted and not (all(isinstance(engine, VllmConfig) for engine in engines) and same_model(engines)):
            raise ValueError("responder.adapter: expected evolvers of kind vllm with one model, got others")
        return self
