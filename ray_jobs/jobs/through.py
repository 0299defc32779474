"""Stages whose engines a service has loaded already: they ask it, from a small process that loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ray_jobs.config.engine_kinds import EngineKind, SharedVllmConfig
from ray_jobs.config.pool_names import RESPOND
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.through import ThroughConfig, served
from ray_jobs.errors import ConfigError
from ray_jobs.pipeline.stage import Stage

ASKING_CPUS = 0.25
"""Of a machine that one who only asks takes."""


def through_service(stages: Iterable[Stage], config: ThroughConfig | None) -> Iterator[Stage]:
    """The stages, those that `config` says asking a service. Raises ConfigError for a name that no stage has."""
    if config is None:
        yield from stages
        return
    stages = list(stages)
    names = {stage.name: name for stage in stages if (name := asked_name(stage))}
    models = {name: name for name in names.values()} if config.models is None else config.models
    if unknown := models.keys() - set(names.values()):
        known = ", ".join(names.values()) or "none of this run"
        raise ConfigError(f"through.models.{min(unknown)}: expected engines that load a model, {known}")
    for stage in stages:
        if (name := names.get(stage.name)) in models:
            model = served(config, stage.model.model, models[name])
            yield replace(stage, model=model, pool=_asking(stage.pool))
        else:
            yield stage


def asked_name(stage: Stage) -> str | None:
    """The name by which a service's clients ask for the engine of a stage: an evolver's, or `respond`.

    None of a stage that is no engine, that loads nothing, or whose engine answers under several adapters.
    """
    engine = stage.model
    if not isinstance(engine, EngineKind) or not engine.holds_weights or isinstance(engine, SharedVllmConfig):
        return None
    if len(stage.branches) > 1:
        return None
    return stage.branches[0] if stage.branches else RESPOND


def _asking(pool: PoolConfig) -> PoolConfig:
    """One process that needs no card. Blocks are as large as they would be, for the plan counts in them."""
    return PoolConfig(size=1, cpus=ASKING_CPUS, batch_rows=pool.batch_rows, batches_in_flight=pool.batches_in_flight)
