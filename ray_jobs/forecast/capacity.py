"""What the cluster can hold, counting the machines that its autoscaler may add."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray
from ray._private.state import state

from ray_jobs.config.pools import PoolConfig, VariantConfig
from ray_jobs.pipeline.placement import actors_on
from ray_jobs.pipeline.pools import asked_in_words, kinds


@dataclass(frozen=True)
class Group:
    """Machines of one kind: what each has, and how many there can be."""

    name: str
    resources: Mapping[str, float]
    count: float


def cluster_groups() -> list[Group]:
    """The autoscaler's groups at their greatest size; the nodes that are there, where no autoscaler says anything."""
    config = state.get_cluster_config()
    groups = [
        Group(
            node_group_config.name,
            dict(node_group_config.resources),
            math.inf if node_group_config.max_count < 0 else node_group_config.max_count,
        )
        for node_group_config in (config.node_group_configs if config else ())
        if node_group_config.max_count
    ]
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return groups or [Group(f"node {number}", item, 1) for number, item in enumerate(alive, 1)]


def shortages(pools: Mapping[str, PoolConfig], groups: Sequence[Group]) -> tuple[list[str], list[str]]:
    """What the cluster cannot hold: why a run would never get on, and where a pool stays below its greatest size."""
    wrong, less = [], []
    for name, shape in kinds(pools):
        room, (minimum, maximum) = room_for(shape, groups), shape.own_bounds
        held = f"{name}: the cluster holds {room:g} actors of it at most ({asked_in_words(shape)})"
        if room < minimum:
            wrong.append(f"{held}, it needs {minimum}")
        elif room < maximum:
            less.append(f"{held}, max_size is {maximum}")
    if not wrong:
        wrong += _together(pools, groups, minimum=True)
        less = less if wrong or less else _together(pools, groups, minimum=False)
    return wrong, less


def room_for(shape: VariantConfig, groups: Sequence[Group]) -> int:
    """How many actors on such hardware the cluster holds when nothing else is there, as far as they are wanted."""
    most = shape.own_bounds[1]
    nodes = [group.resources for group in groups for _ in range(int(min(group.count, most * shape.nodes)))]
    return actors_on(shape, nodes)


def _together(pools: Mapping[str, PoolConfig], groups: Sequence[Group], minimum: bool) -> list[str]:
    """Resources of which all pools together ask for more than there is."""
    asked: Counter[str] = Counter()
    for _, shape in kinds(pools):
        for part in shape.parts:
            for item, amount in part.items():
                asked[item] += amount * shape.own_bounds[0 if minimum else 1]  # type: ignore[assignment]
    size = "least" if minimum else "greatest"
    found = []
    for item, amount in asked.items():
        there = sum(group.count * group.resources.get(item, 0) for group in groups if group.resources.get(item))
        if amount > there + 1e-9:
            shared = "" if minimum else ", of which Ray reserves each pool an equal share: size them by their weight"
            found.append(f"all pools at their {size} size ask for {amount:g} {item}, the cluster has {there:g}{shared}")
    return found
