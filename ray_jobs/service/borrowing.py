"""Runs on the engines that the service has loaded, where pools of their own would find no room beside these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray._private.state import available_resources_per_node

from ray_jobs.config.engine_kinds import EngineKind
from ray_jobs.config.identity import result_settings
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import RunConfig
from ray_jobs.forecast.capacity import Group, shortages
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.jobs.through import asked_name
from ray_jobs.service.config import is_loopback

THROUGH = "through"
Pools = Mapping[str, PoolConfig]


@dataclass(frozen=True)
class OwnEngines:
    """How runs reach this service: at `url`, with `token`. `crowded` tells if pools find no room beside it."""

    url: str
    token: str
    crowded: Callable[[Pools], bool]


def borrowing(settings: Mapping[str, Any], own: RunConfig, engines: OwnEngines) -> dict[str, Any]:
    """The settings of a run, asking this service for the models that it has loaded, where the run's own do not fit.

    Its identity stays that of the models. Runs of several phases have engines of their own.
    """
    found, config = dict(settings), load_config(settings)
    if not isinstance(config, RunConfig) or config.through is not None:
        return found
    pipeline = SynthesisJob(config).pipeline
    loaded = {name: result_settings(engine) for name, engine in engines_of(own).items()}
    models = dict[str, str]()
    for name, engine in engines_of(config).items():
        if same := [other for other, known in loaded.items() if known == result_settings(engine)]:
            models[name] = name if name in same else same[0]
    if models and engines.crowded(pipeline.pools()):
        found[THROUGH] = {"url": engines.url, "token": engines.token, "models": models}
    return found


def engines_of(config: RunConfig) -> dict[str, EngineKind]:
    """The engines of a run that a service may be asked for, by the names under which it is."""
    stages = SynthesisJob(config).pipeline.stages
    return {name: stage.model for stage in stages if (name := asked_name(stage))}


def crowded(host: str, alone: bool) -> Callable[[Pools], bool]:
    """Whether pools find no room beside the service, on a cluster all of which can reach it.

    On a machine of its own (`alone`) nothing is loaded twice, whatever there is room for.
    """

    def look(pools: Pools) -> bool:
        nodes = available_resources_per_node()  # type: ignore[no-untyped-call]
        if len(nodes) > 1 and is_loopback(host):
            return False
        free = [Group(f"node {number}", found, 1) for number, found in enumerate(nodes.values(), 1)]
        return alone or bool(shortages(pools, free)[0])

    return look
