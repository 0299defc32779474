"""The pools that evolve: one an evolver, or one for all evolvers and the responder that share an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ray_jobs.config.engine_kinds import EngineKind, SharedVllmConfig, VllmConfig
from ray_jobs.config.pool_names import pool_name
from ray_jobs.config.run import RunConfig, SelfResponderConfig
from ray_jobs.config.sharing import Evolver
from ray_jobs.pipeline.actors import EvolveActor, EvolveTask
from ray_jobs.pipeline.stage import Stage


def evolving(run: RunConfig, task: EvolveTask) -> list[Stage]:
    """A pool of each evolver that shares no other's, on the parts of the plan of all who share it."""
    answering = responding_adapter(run)
    stages = []
    for shared in engines_of(run.evolvers, answering):
        own = replace(task, adapters=shared.adapters, respond_adapter=answering)
        pool, place = run.evolvers[shared.name].pool, f"evolvers.{shared.name}.engine"
        stages.append(Stage(pool_name(shared.name), place, EvolveActor, shared.engine, pool, own, shared.users))
    return stages


@dataclass(frozen=True)
class LoadedEngine:
    """The engine in the pool of the evolver `name`, whose rows and those of `users` pass it.

    Where there are several, each has its adapter in `adapters`, "" for the bare model.
    """

    name: str
    users: tuple[str, ...]
    engine: EngineKind
    adapters: Mapping[str, str]


def engines_of(evolvers: Mapping[str, Evolver], answering: str | None = None) -> Iterator[LoadedEngine]:
    """The engines that are loaded, ready for the adapters of all who use them, and for `answering` under one."""
    for name, evolver in evolvers.items():
        if evolver.shares is not None:
            continue
        users = {other: item for other, item in evolvers.items() if name in (other, item.shares)}
        adapters = _adapters(users)
        engine = evolver.engine
        ready = {*adapters.values(), *([answering] if answering else [])} - {""}
        if ready and (len(users) > 1 or answering is not None):
            assert isinstance(engine, VllmConfig), "the configuration says so"
            engine = SharedVllmConfig.model_construct(**dict(engine), adapters=tuple(sorted(ready)))
        yield LoadedEngine(name, tuple(users), engine, adapters if len(users) > 1 else {})


def responding_adapter(run: RunConfig) -> str | None:
    """The adapter under which evolvers answer themselves; None for their own."""
    responder = run.responder
    if not isinstance(responder, SelfResponderConfig) or responder.adapter is None:
        return None
    return folder_of(responder.adapter)


def responder_label(run: RunConfig) -> str | None:
    """How records name what answers, where that is an adapter of its own on the evolvers' engine."""
    adapter = responding_adapter(run)
    if adapter is None:
        return None
    assert isinstance(run.responder, SelfResponderConfig)
    engine: EngineKind = next(iter(run.evolvers.values())).engine
    return engine.model_copy(update={"adapter": run.responder.adapter}).label


def folder_of(adapter: str) -> str:
    """An adapter's folder as an absolute path, for workers have another working directory; "" for none."""
    return str(Path(adapter).resolve()) if adapter else ""


def _adapters(users: Mapping[str, Evolver]) -> dict[str, str]:
    """The adapter of each evolver."""
    return {name: folder_of(getattr(user.engine, "adapter", None) or "") for name, user in users.items()}
