"""From pool configuration to Ray Data: which actors, how many, and how much they hold in flight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ray
from ray.data import ActorPoolStrategy, Dataset

from ray_jobs.config.pools import PoolConfig, VariantConfig
from ray_jobs.pipeline.actor import ActorContext
from ray_jobs.pipeline.placement import Placement, actors_on, options
from ray_jobs.pipeline.stage import Stage


def through_pool(rows: Dataset, stage: Stage, context: ActorContext, placement: Placement) -> Dataset:
    """Send blocks of rows through a stage's pool.

    An actor works on `batches_in_flight` blocks at once and holds as many again in its queue: with fewer its engine
    drains between blocks, and Ray's autoscaler, which looks at the queue, would never add an actor.
    """
    pool, (minimum, maximum) = stage.pool, stage.pool.bounds
    # Ray Data counts the first kind's resources where it plans ahead, and each actor's own once it is there
    where: dict[str, Any] = {**options(pool.shapes[0]), "ray_remote_args_fn": None if placement.is_plain else placement}
    # map_batches itself refuses batch_size=None beside GPUs; a batch is a whole block here, whose size the plan has set
    passed: Dataset = rows.map_batches_internal(
        type(stage.name, (stage.actor,), {"__doc__": stage.actor.__doc__}),
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        fn_constructor_args=(stage.task, context),
        compute=ActorPoolStrategy(
            min_size=minimum,
            max_size=maximum,
            max_concurrent_calls_per_actor=pool.batches_in_flight,
            max_tasks_in_flight_per_actor=2 * pool.batches_in_flight,
        ),
        **where,
        udf_modifying_row_count=False,
    )
    return passed


def in_words(resources: Mapping[str, float]) -> str:
    """Resources as people read them, such as "1 CPU, 4 GPU"."""
    return ", ".join(f"{amount:g} {resource}" for resource, amount in resources.items())


def kinds(pools: Mapping[str, PoolConfig]) -> Iterator[tuple[str, VariantConfig]]:
    """Each kind of hardware of each pool, and what people call it."""
    for name, pool in pools.items():
        for place, shape in enumerate(pool.shapes):
            yield f"pool {name}" + (f", variant {place + 1}" if pool.variants else ""), shape


def asked_in_words(shape: VariantConfig) -> str:
    """What an actor asks for as people read it."""
    parts = shape.parts
    return in_words(parts[0]) if len(parts) == 1 else f"{len(parts)} times {in_words(parts[0])} on {shape.nodes} nodes"


def unschedulable(pools: Mapping[str, PoolConfig]) -> list[str]:
    """The pools whose actors the nodes that are alive now could not hold even if they were empty; one sentence each."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [
        f"{name}: no node of the cluster has what an actor of it asks for ({asked_in_words(shape)})"
        for name, shape in kinds(pools)
        if shape.own_bounds[0] and not actors_on(shape, nodes)
    ]


def blocks_at_once(pools: Iterable[PoolConfig]) -> int:
    """How many blocks the pool that takes most takes at once, those in its actors' queues included."""
    return max(2 * pool.batches_in_flight * pool.bounds[1] for pool in pools)


def logical_cpus(pools: Iterable[PoolConfig]) -> int:
    """The logical CPUs that a local cluster needs to hold all pools at their greatest, and to write beside.

    Each task that writes at the same time is a process of its own, which takes a second of CPU and more to start.
    """
    actors = sum(shape.own_bounds[1] * shape.cpus for pool in pools for shape in pool.shapes)
    return int(actors) + 2
