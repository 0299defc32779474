"""Where a pool's actors stand: on which of its kinds of hardware, and over how many machines.

Ray Data asks for the options of each actor that it starts. An actor's name tells on what hardware it is, so nothing has
to be kept of those that live.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.pools import Hardware, Share, VariantConfig
from ray_jobs.pipeline.monitor import Snapshot

_SEPARATOR = "/"
AnyModel = TypeVar("AnyModel", bound=Any)


class Placement:
    """Gives each actor of a pool its options.

    Hardware gets its least number of actors first. More go to the first kind that has room for one now, in the order of
    the configuration, none beyond its greatest number; where none has room now, to the first that may grow.
    """

    def __init__(self, pool: str, shapes: Sequence[VariantConfig]) -> None:
        self._pool, self._shapes = pool, shapes
        self._groups: dict[str, PlacementGroup] = {}
        self._seen = set[str]()
        # actors are started in Ray Data's thread, and the watch sweeps in another
        self._lock = threading.Lock()

    @property
    def is_plain(self) -> bool:
        """Whether all actors are alike, on one machine each."""
        return len(self._shapes) == 1 and self._shapes[0].nodes == 1

    def __call__(self) -> dict[str, Any]:
        """Ray's options for the next actor. Where it is to stand on several machines, their group is asked for."""
        self.sweep()
        place = next_shape(self._shapes, self._living(), _free())
        shape, name = self._shapes[place], _SEPARATOR.join((self._pool, str(place), uuid.uuid4().hex))
        if shape.nodes == 1:
            return {"name": name, **options(shape)}
        group = placement_group(shape.parts, strategy="PACK", name=name)
        with self._lock:
            self._groups[name] = group
        together = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
        return {"name": name, **options(shape), "scheduling_strategy": together}

    def sweep(self) -> None:
        """Give back the machines of actors that are no more."""
        if not self._groups:
            return
        living = set(self._names())
        with self._lock:
            # the actor of a new group is not there yet
            self._seen |= self._groups.keys() & living
            gone = [self._groups.pop(name) for name in self._seen - living]
            self._seen &= living
        for group in gone:
            remove_placement_group(group)

    def close(self) -> None:
        """Give back the machines of all actors."""
        with self._lock:
            groups, self._groups, self._seen = list(self._groups.values()), {}, set()
        # of a cluster that is lost nothing is held
        with suppress(RayError):
            for group in groups:
                remove_placement_group(group)

    def observe(self, snapshot: Snapshot) -> None:  # noqa: ARG002  # one of those who are told how far a run is
        """See from time to time whose machines can be given back."""
        self.sweep()

    def _living(self) -> Counter[int]:
        return Counter(int(name.split(_SEPARATOR)[1]) for name in self._names())

    def _names(self) -> list[str]:
        return [name for name in ray.util.list_named_actors() if name.startswith(self._pool + _SEPARATOR)]


def _free() -> dict[str, float]:
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return free


def next_shape(shapes: Sequence[VariantConfig], living: Mapping[int, int], free: Mapping[str, float]) -> int:
    """On which hardware the next actor goes, where so many live on each and so much is free."""
    counts = [living.get(place, 0) for place in range(len(shapes))]
    below = [place for place, shape in enumerate(shapes) if counts[place] < shape.own_bounds[0]]
    if below:
        return below[0]
    growing = [place for place, shape in enumerate(shapes) if counts[place] < shape.own_bounds[1]]
    # what is free is told of all machines together
    fitting = [place for place in growing if actors_on(shapes[place], [free])]
    # one that has just died may still be counted
    fullest = min(range(len(shapes)), key=lambda place: counts[place] / shapes[place].own_bounds[1])
    return next(iter(fitting or growing), fullest)


def shape_of_this_actor(shapes: Sequence[VariantConfig]) -> VariantConfig:
    """The hardware of the actor whose process this is."""
    if len(shapes) == 1:
        return shapes[0]
    name = ray.get_runtime_context().get_actor_name() or ""
    return shapes[int(name.split(_SEPARATOR)[1])]


def shaped(model: AnyModel, shape: VariantConfig) -> AnyModel:
    """The configuration of a model as it is loaded on such hardware."""
    if not isinstance(model, VllmConfig):
        return model
    over_nodes = {"distributed_executor_backend": "ray"} if shape.nodes > 1 else {}
    arguments = {**over_nodes, **model.arguments, **shape.arguments}
    found: AnyModel = model.model_copy(update={"arguments": arguments})
    return found


def options(shape: Hardware) -> dict[str, Any]:
    """What Ray is told of an actor's own process. On several machines its workers take the cards."""
    if shape.nodes > 1:
        return {"num_cpus": shape.parts[0].get("CPU", 0), "num_gpus": 0}
    return on_one_machine(shape)


def on_one_machine(share: Share) -> dict[str, Any]:
    """What Ray is told of an actor that has this."""
    return {
        "num_cpus": share.cpus,
        "num_gpus": share.gpus,
        "resources": share.resources or None,
        "accelerator_type": share.accelerator_type,
    }


def actors_on(shape: Hardware, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many actors empty machines with these resources hold, each on as many of them as it may take."""
    part, wanted = shape.parts[0], len(shape.parts)
    room = sorted((_times(part, node) for node in nodes), reverse=True)
    if wanted == 1:
        return sum(room)
    actors = 0
    while sum(room[: shape.nodes]) >= wanted:
        actors, left = actors + 1, wanted
        for place, there in enumerate(room[: shape.nodes]):
            taken = min(left, there)
            room[place], left = there - taken, left - taken
        room.sort(reverse=True)
    return actors


def _times(part: Mapping[str, float], node: Mapping[str, float]) -> int:
    # a hair more, for parts of a CPU do not add up exactly
    return int(min((node.get(item, 0) / amount + 1e-9 for item, amount in part.items()), default=1))
