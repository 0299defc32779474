"""What the cluster can hold, counting the machines that its autoscaler may add."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray
from ray._private.state import state

from ray_jobs.config.run import PoolConfig
from ray_jobs.pipeline.pools import asked_for, in_words


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
        Group(one.name, dict(one.resources), math.inf if one.max_count < 0 else one.max_count)
        for one in (config.node_group_configs if config else ())
        if one.max_count
    ]
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return groups or [Group(f"node {number}", one, 1) for number, one in enumerate(alive, 1)]


def shortages(pools: Mapping[str, PoolConfig], groups: Sequence[Group]) -> tuple[list[str], list[str]]:
    """What the cluster cannot hold: why a run would never get on, and where a pool stays below its greatest size."""
    wrong, less = [], []
    for name, pool in pools.items():
        room, (least, most) = room_for(pool, groups), pool.bounds
        asked = in_words(asked_for(pool))
        if room < least:
            wrong.append(f"pool {name}: the cluster holds {room:g} actors of it at most ({asked}), it needs {least}")
        elif room < most:
            less.append(f"pool {name}: the cluster holds {room:g} actors of it at most ({asked}), max_size is {most}")
    if not wrong:
        wrong += _together(pools, groups, least=True)
        less = less if wrong or less else _together(pools, groups, least=False)
    return wrong, less


def room_for(pool: PoolConfig, groups: Sequence[Group]) -> float:
    """How many actors of a pool the cluster holds when nothing else is there."""
    wanted = asked_for(pool)
    return sum(
        group.count
        * min((math.floor(group.resources.get(one, 0) / amount) for one, amount in wanted.items()), default=1)
        for group in groups
    )


def _together(pools: Mapping[str, PoolConfig], groups: Sequence[Group], least: bool) -> list[str]:
    """Resources of which all pools together ask for more than there is."""
    asked: Counter[str] = Counter()
    for pool in pools.values():
        for one, amount in asked_for(pool).items():
            asked[one] += amount * pool.bounds[0 if least else 1]  # type: ignore[assignment]
    size = "least" if least else "greatest"
    found = []
    for one, amount in asked.items():
        there = sum(group.count * group.resources.get(one, 0) for group in groups if group.resources.get(one))
        if amount > there:
            shared = "" if least else ", of which Ray reserves each pool an equal share: size them by their weight"
            found.append(f"all pools at their {size} size ask for {amount:g} {one}, the cluster has {there:g}{shared}")
    return found
