"""From pool configuration to Ray Data: which actors, how many, and how much they hold in flight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import ray
from ray.data import ActorPoolStrategy, Dataset

from ray_jobs.config.pools import PoolConfig
from ray_jobs.pipeline.actor import ActorContext
from ray_jobs.pipeline.stage import Stage


def through_pool(rows: Dataset, stage: Stage, context: ActorContext) -> Dataset:
    """Send blocks of rows through a stage's pool.

    An actor works on `batches_in_flight` blocks at once and holds as many again in its queue: with fewer its engine
    drains between blocks, and Ray's autoscaler, which looks at the queue, would never add an actor.
    """
    pool, (minimum, maximum) = stage.pool, stage.pool.bounds
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
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
        accelerator_type=pool.accelerator_type,
        resources=pool.resources or None,
        udf_modifying_row_count=False,
    )
    return passed


def asked_for(pool: PoolConfig) -> dict[str, float]:
    """The logical resources of one actor, without those that it asks nothing of."""
    wanted = {"CPU": pool.cpus, "GPU": pool.gpus, **pool.resources}
    if pool.accelerator_type:
        # a node has one, of which Ray lets each actor take a thousandth
        wanted[f"accelerator_type:{pool.accelerator_type}"] = 0.001
    return {item: amount for item, amount in wanted.items() if amount}


def in_words(resources: Mapping[str, float]) -> str:
    """Resources as people read them, such as "1 CPU, 4 GPU"."""
    return ", ".join(f"{amount:g} {resource}" for resource, amount in resources.items())


def unschedulable(pools: Mapping[str, PoolConfig]) -> list[str]:
    """The pools whose actors no node that is alive now could hold even if it were empty; one sentence each."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    sentences = []
    for name, pool in pools.items():
        wanted = asked_for(pool)
        if not any(all(node.get(item, 0) >= amount for item, amount in wanted.items()) for node in nodes):
            asked = in_words(wanted)
            sentences.append(f"pool {name}: no node of the cluster has what an actor of it asks for ({asked})")
    return sentences


def blocks_at_once(pools: Iterable[PoolConfig]) -> int:
    """How many blocks the pool that takes most takes at once, those in its actors' queues included."""
    return max(2 * pool.batches_in_flight * pool.bounds[1] for pool in pools)


def logical_cpus(pools: Iterable[PoolConfig]) -> int:
    """The logical CPUs that a local cluster needs to hold all pools at their greatest, and to write beside.

    Each task that writes at the same time is a process of its own, which takes a second of CPU and more to start.
    """
    actors = sum(pool.bounds[1] * pool.cpus for pool in pools)
    return int(actors) + 2
