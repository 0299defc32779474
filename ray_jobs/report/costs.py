"""What the records of a run have cost: tokens, actor hours, and money where prices are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray_jobs.config.pool_names import NLI, QUALITY, RESPOND, SCORE, is_evolver_pool, pool_name
from ray_jobs.errors import ConfigError
from ray_jobs.output.schema import KEPT
from ray_jobs.report.gather import Gathered
from ray_jobs.report.inputs import Inputs

ALL_POOLS = ""


@dataclass(frozen=True)
class Prices:
    """Prices in any one currency: of a GPU hour, and of a million prompt and completion tokens by pool."""

    gpu_hour: float | None = None
    tokens: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return self.gpu_hour is not None or bool(self.tokens)

    def check(self, pools: Iterable[str]) -> None:
        """Raises ConfigError where a price is for a pool that the run does not have."""
        known = sorted(pools)
        if unknown := sorted(set(self.tokens) - {ALL_POOLS, *known}):
            raise ConfigError(f"--token-price {unknown[0]}: expected a pool of the run, one of {', '.join(known)}")


@dataclass(frozen=True)
class PoolCost:
    """One pool over all sessions: hours of its actors with a loaded model, GPUs an actor, tokens, and the money.

    `given_again` counts replies that came from the journal, whose tokens are not among these.
    """

    name: str
    hours: float
    gpus: float
    prompt_tokens: int
    completion_tokens: int
    money: float | None
    given_again: int = 0


def parse_token_prices(texts: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Prices from `[POOL=]PROMPT/COMPLETION` or `[POOL=]BOTH`. Raises ConfigError."""
    prices = {}
    for text in texts:
        pool, equals, amounts = text.rpartition("=")
        try:
            found = [float(part) for part in amounts.split("/")]
        except ValueError:
            found = []
        if (
            not 1 <= len(found) <= 2
            or not all(0 <= item < float("inf") for item in found)
            or bool(equals) != bool(pool)
        ):
            raise ConfigError(
                f"--token-price {text}: expected PRICE, PROMPT/COMPLETION or POOL=PROMPT/COMPLETION a million tokens"
            )
        prices[pool] = (found[0], found[-1])
    return prices


def pool_costs(inputs: Inputs, prices: Prices) -> list[PoolCost]:
    """The pools of a run in the order of its sessions; none for a selection."""
    prices.check(inputs.pools)
    return [_pool_cost(inputs, prices, name, figures) for name, figures in inputs.pools.items()]


def _pool_cost(inputs: Inputs, prices: Prices, name: str, figures: Mapping[str, Any]) -> PoolCost:
    gpus = _gpus(inputs.run).get(name, 0.0)
    hours = float(figures["seconds"]) / 3600
    prompt, completion = int(figures["prompt_tokens"]), int(figures["completion_tokens"])
    of_tokens = prices.tokens.get(name, prices.tokens.get(ALL_POOLS))
    money = None
    if prices.given:
        money = (prices.gpu_hour or 0) * hours * gpus
        money += (of_tokens[0] * prompt + of_tokens[1] * completion) / 1e6 if of_tokens else 0
    again = int(figures.get("replies_given_again", 0))
    return PoolCost(name, hours, gpus, prompt, completion, money, again)


def _gpus(run: Mapping[str, Any]) -> dict[str, float]:
    """GPUs an actor by pool. Runs of earlier versions tell them only in the configuration of the pools they had."""
    if pools := run.get("pools"):
        return {name: float(pool["gpus"]) for name, pool in pools.items()}
    configuration = run.get("configuration") or {}
    stages = {pool_name(name): item for name, item in (configuration.get("evolvers") or {}).items()}
    stages |= {RESPOND: configuration.get("responder"), SCORE: configuration.get("scorer")}
    stages |= {NLI: configuration.get("nli"), QUALITY: configuration.get("judge")}
    return {name: float(((stage or {}).get("pool") or {}).get("gpus", 0)) for name, stage in stages.items()}


def money_per_kept(costs: Iterable[PoolCost], gathered: Gathered, evolver: str) -> float | None:
    """What a kept record of an evolver has cost; None without prices or kept records.

    Its own pool's cost, and of each pool behind those of evolvers the share of the records that it sent there: those
    that ended at the stage of the pool's name or at a later one, or were kept.
    """
    by_name = {cost.name: cost.money for cost in costs}
    kept = gathered.kept(evolver)
    if not kept or None in by_name.values() or not by_name:
        return None
    total = by_name.get(pool_name(evolver)) or 0.0
    shared = [name for name in by_name if not is_evolver_pool(name)]
    for place, pool in enumerate(shared):
        stages = shared[place:]
        sent, all_sent = reached(gathered, stages, evolver), reached(gathered, stages)
        total += (by_name.get(pool) or 0.0) * (sent / all_sent if all_sent else 0)
    return total / kept


def reached(gathered: Gathered, stages: Sequence[str], evolver: str | None = None) -> int:
    """Records that were kept or ended in one of `stages`: those that came so far."""
    return sum(
        count
        for (name, _, ending), count in gathered.endings.items()
        if evolver in (None, name) and (ending.status == KEPT or ending.stage in stages)
    )
