"""How fast one actor of a pool works and what a row costs it: measured on a sample, or stated in a file.

The speed that counts is the steady one. While it fills and while it runs dry an engine does less, which is much of
a small sample and nothing of a long run; so what counts is how long each call kept one of its places, not how long the
engine took for all of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from evolve.engines.recording_engine import Call
from ray_jobs.config.base import Strict
from ray_jobs.config.engine_kinds import EngineKind, VllmConfig
from ray_jobs.config.load import validated
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.values import parsed
from ray_jobs.errors import ConfigError
from ray_jobs.forecast.arguments import argument

VLLM_MAX_CONCURRENCY = 256
"""What vLLM batches where `max_num_seqs` does not say otherwise; on large GPUs it may take more."""
ENOUGH = 0.5
"""The share of a sample's tokens that must have been made by a full engine for its speed to be called measured."""


class PoolRate(Strict):
    """One pool: the speed of one actor with enough to do, and what a row costs.

    Tokens are those read and those written, together for the speed and apart for a row. `load_seconds` pass until an
    actor has its model, `block_seconds` until a block of rows is through it. `full` says that the sample kept the
    engine as full as a run does; otherwise the speed is a lower bound.
    """

    tokens_per_second: float = Field(gt=0)
    prompt_tokens: float = Field(ge=0)
    completion_tokens: float = Field(ge=0)
    load_seconds: float = Field(0, ge=0)
    block_seconds: float = Field(0, ge=0)
    full: bool = True

    @property
    def seconds_per_row(self) -> float:
        """What a row costs one actor."""
        return (self.prompt_tokens + self.completion_tokens) / self.tokens_per_second


class Rates(Strict):
    """All pools of a run, and what a row becomes: bytes of Parquet, and records by status."""

    pools: dict[str, PoolRate]
    bytes_per_row: float = Field(0, ge=0)
    records_per_row: dict[str, float] = Field(default_factory=dict)


def read_rates(path: Path, pools: Iterable[str]) -> Rates:
    """Rates from a YAML or JSON file, or from what `evolve plan --json` wrote. Raises ConfigError."""
    try:
        raw: Any = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML or JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping with `pools`, got {type(raw).__name__}")
    rates = validated(Rates, raw.get("rates", raw), str(path))
    if missing := sorted(set(pools) - rates.pools.keys()):
        raise ConfigError(f"{path}: pools.{missing[0]}: is missing (it has {', '.join(rates.pools) or 'none'})")
    return rates


def max_concurrency(engine: EngineKind, pool: PoolConfig) -> int:
    """How many calls an engine runs at once, as far as its configuration says; never more than its pool offers rows."""
    offered = pool.batch_rows * pool.batches_in_flight
    if isinstance(engine, VllmConfig):
        replicas = int(argument(engine, "data_parallel_size", 1))
        return min(replicas * int(argument(engine, "max_num_seqs", VLLM_MAX_CONCURRENCY)), offered)
    told = engine.max_concurrency()
    return offered if told is None else min(told, offered)


def steady_rate(calls: Sequence[Call], max_concurrency: int) -> tuple[float, bool]:
    """Tokens a second of an engine that runs so many calls at once, and whether the calls kept it full for long enough.

    What it does until the last moment at which so many calls were under way goes on in a long run; how much of all work
    that was is told by how long calls held their places. Where it was too little, all tokens count over all of the
    time, which is a lower bound.
    """
    began, ended = sorted(call.began for call in calls), sorted(call.ended for call in calls)
    until = _last_full(began, ended, max_concurrency)
    places = held_places(calls, max_concurrency)
    early = sum(max(0.0, min(until, left) - taken) for taken, left in places)
    held, tokens = sum(left - taken for taken, left in places), sum(call.tokens for call in calls)
    full = early >= ENOUGH * held > 0
    seconds = (until - began[0]) * held / early if full else ended[-1] - began[0]
    return max(tokens, 1) / max(seconds, 1e-6), full


def held_places(calls: Sequence[Call], max_concurrency: int) -> list[tuple[float, float]]:
    """From when to when each call held one of so many places, if these go to calls in order; before that it waited."""
    order = sorted(range(len(calls)), key=lambda number: calls[number].began)
    freed = sorted(call.ended for call in calls)
    held = [(0.0, 0.0)] * len(calls)
    for rank, number in enumerate(order):
        call = calls[number]
        taken = max(call.began, freed[rank - max_concurrency]) if rank >= max_concurrency else call.began
        held[number] = min(taken, call.ended), call.ended
    return held


def _last_full(began: Sequence[float], ended: Sequence[float], max_concurrency: int) -> float:
    """The last moment up to which so many calls were under way; the first call's beginning where they never were."""
    for index in range(len(ended) - 1, -1, -1):
        # calls that had begun before this one ended, less those that had ended: itself is one of them
        if bisect_right(began, ended[index]) - index >= max_concurrency:
            return ended[index]
    return began[0]
