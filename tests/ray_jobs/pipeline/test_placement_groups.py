"""The machines of an actor that stands on several: held while it lives, and not a moment longer."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import ray

from ray_jobs.config.pools import PoolConfig
from ray_jobs.pipeline.placement import Placement

WIDE = PoolConfig(cpus=2, nodes=2).shapes


def groups() -> list[str]:
    return [group["state"] for group in ray.util.placement_group_table().values() if group["state"] != "REMOVED"]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("local_ray")
def test_machines_are_held_from_before_the_actor_is_there_until_it_is_gone() -> None:
    class Idle:
        def here(self) -> None:
            """Answer."""

    placement = Placement("wide", WIDE)
    options = placement()
    # the watch may look before the actor has been started
    placement.sweep()
    assert len(groups()) == 1
    actor = ray.remote(Idle).options(**options).remote()
    ray.get(actor.here.remote())
    placement.sweep()
    assert groups() == ["CREATED"]
    ray.kill(actor)
    until(lambda: not ray.util.list_named_actors())
    placement.sweep()
    until(lambda: groups() == [])
    placement()
    placement.close()
    until(lambda: groups() == [])
