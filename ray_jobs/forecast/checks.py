"""Whether the cluster can hold a run's pools, and their cards its models: told before anything is started on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import ModelScorerConfig
from ray_jobs.errors import ConfigError
from ray_jobs.forecast.capacity import Group, shortages
from ray_jobs.forecast.model_sizes import CARD_GB, GB, demand, problem, weights
from ray_jobs.pipeline.placement import shaped
from ray_jobs.pipeline.stage import Stage


def check_cluster(pools: Mapping[str, PoolConfig], groups: Sequence[Group]) -> list[str]:
    """What the cluster has too little of, as long as that only slows a run down. Raises ConfigError otherwise."""
    wrong, less = shortages(pools, groups)
    if wrong:
        raise ConfigError("the cluster cannot hold the pools\n" + "\n".join(f"  {item}" for item in wrong))
    return less


def check_sizes(stages: Iterable[Stage], card_gb: float | None, cards: Mapping[str, float]) -> list[str]:
    """One line a model on its weights. Raises ConfigError where one does not fit the cards of its pool."""
    notes, wrong = [], []
    for stage in stages:
        if not isinstance(stage.model, VllmConfig | ModelScorerConfig):
            continue
        place = stage.place
        for shape in stage.pool.shapes:
            asked = demand(place, shaped(stage.model, shape))
            held = weights(asked.model, asked.dtype)
            if held is None:
                notes.append(f"{place}: {asked.model} has no safetensors, so its size is not known")
                break
            card = card_gb or CARD_GB.get(shape.accelerator_type or "") or cards.get(stage.name)
            why = problem(asked, held, shape, card * GB if card else None)
            wrong += [why] if why else []
            room = f", a card has {card:g} GB" if card and shape.gpus else ", cards not known" if shape.gpus else ""
            each = held.bytes / asked.split / GB
            notes.append(f"{place}: {held.parameters / 1e6:,.0f} million parameters, {each:.2f} GB a card{room}")
    if wrong:
        raise ConfigError("models do not fit\n" + "\n".join(f"  {item}" for item in wrong))
    return notes


def cards_of(pools: Mapping[str, PoolConfig], groups: Sequence[Group]) -> dict[str, float]:
    """What a card of each pool has, in GB, where all machines that could hold its actors have the same known kind."""
    found = {}
    for name, pool in pools.items():
        kinds = {
            resource.removeprefix("accelerator_type:")
            for shape in pool.shapes
            for group in groups
            if all(group.resources.get(wanted, 0) >= amount for wanted, amount in shape.parts[0].items())
            for resource in group.resources
            if resource.startswith("accelerator_type:")
        }
        if len(kinds) == 1 and (size := CARD_GB.get(kinds.pop())):
            found[name] = size
    return found
