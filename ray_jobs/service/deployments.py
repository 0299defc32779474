"""The service's parts on Ray Serve: a deployment for each loaded model, one for the gateway, and the ways between them.

With app.py the only module that imports Ray Serve.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import DeploymentStatusOverview
from starlette.types import ASGIApp

from evolve.records import Completion
from ray_jobs.config.engine_kinds import EngineKind, VllmConfig
from ray_jobs.config.run import ScorerKind
from ray_jobs.errors import ClusterError, ConfigError
from ray_jobs.forecast.arguments import argument
from ray_jobs.output.rounds import RoundRow
from ray_jobs.pipeline.actor import load_engine
from ray_jobs.pipeline.placement import on_one_machine
from ray_jobs.runner.ray_log import log_folder
from ray_jobs.service.borrowing import OwnEngines, crowded
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engine_worker import EngineWorker
from ray_jobs.service.engines import Condition, Figures, Loaded, Roster
from ray_jobs.service.gateway import application
from ray_jobs.service.jobs import RayJobs
from ray_jobs.service.metrics import MeteredFigures, MeteredUsage, ServiceMetrics
from ray_jobs.service.score_worker import Pair, ScoreWorker
from ray_jobs.service.state import ServiceState
from ray_jobs.service.tokens import TokenFile, digest, own_token
from ray_jobs.service.work import Call, Question, Trial, Trouble

log = logging.getLogger(__name__)
APP, GATEWAY = "slm_evolve", "gateway"
RUNS = "(runs)"
"""The name, which no token can have, under which runs ask that the service has started."""
INDEXES = "evolve-indexes"
"""Where in Ray's session folder indexes of records lie, which go with it."""
QUEUED = 100_000
"""How much a replica takes at once: the engine has a queue of its own, by priority, and the guard bounds requests."""
TARGET = 128
"""How many requests of a replica are its share where its engine's configuration does not say."""
CONDITION_SECONDS = 1.0
DRAIN_POLL_SECONDS = 0.05
RETRIES = 2
"""How often a model that cannot be loaded is tried again."""


@dataclass(frozen=True)
class Setup:
    """What the gateway is told.

    `settings` are those of the file, without `service`. `digests` are those of tokens that are in no file. `folder` is
    where relative paths begin, where there is such a folder; `dashboard` is where runs are submitted, and `cluster`
    what they join then, if it is known. At `url` runs reach the service, whose machine is its own if it is `alone`.
    """

    config: ServedRunConfig
    settings: Mapping[str, Any]
    roster: Roster
    digests: Mapping[str, str]
    token_file: Path
    folder: Path
    dashboard: str | None = None
    cluster: str | None = None
    url: str | None = None
    alone: bool = False

    def own(self) -> OwnEngines | None:
        """How runs ask the service's engines, where its address is known."""
        if self.url is None:
            return None
        return OwnEngines(self.url, own_token(self.token_file), crowded(self.config.service.host, self.alone))


class EngineReplica:
    """A replica of an engine."""

    def __init__(self, model: EngineKind, free: int) -> None:
        self._worker = EngineWorker(load_engine(_by_priority(model)), free)

    async def trial(self, trial: Trial) -> AsyncIterator[RoundRow | Trouble]:
        """As EngineWorker."""
        async for item in self._worker.trial(trial):
            yield item

    async def answer(self, question: Question) -> RoundRow | Trouble:
        """As EngineWorker."""
        return await self._worker.answer(question)

    async def complete(self, call: Call) -> Completion | Trouble:
        """As EngineWorker."""
        return await self._worker.complete(call)

    async def stream(self, call: Call) -> AsyncIterator[str | Completion | Trouble]:
        """As EngineWorker."""
        async for item in self._worker.stream(call):
            yield item

    def check_health(self) -> None:
        """Have Serve start this replica again once its engine has died."""
        if self._worker.died:
            raise RuntimeError(self._worker.died)


class ScoreReplica:
    """A replica of the scorer."""

    def __init__(self, model: ScorerKind, with_reasoning: bool) -> None:
        self._worker = ScoreWorker(model.build(), with_reasoning)

    async def score(self, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """As ScoreWorker."""
        return await self._worker.score(pairs)


class ServedEngines:
    """Engines in replicas."""

    def __init__(self, roster: Roster, handles: Mapping[str, DeploymentHandle[Any]], metrics: ServiceMetrics) -> None:
        self.roster, self._handles = roster, handles
        self.figures: Mapping[str, Figures] = {name: MeteredFigures(name, metrics) for name in handles}
        self._seen: tuple[float, Mapping[str, Condition]] = (0.0, {})

    async def trial(self, loaded: str, trial: Trial) -> AsyncIterator[RoundRow | Trouble]:
        """As Engines says."""
        with _reaching(loaded):
            asked: Any = self._handles[loaded].trial.options(stream=True).remote(trial)
            async for item in _until_left(asked):
                yield item

    async def answer(self, loaded: str, question: Question) -> RoundRow | Trouble:
        """As Engines says."""
        with _reaching(loaded):
            found: RoundRow | Trouble = await self._handles[loaded].answer.remote(question)
            return found

    async def complete(self, loaded: str, call: Call) -> Completion | Trouble:
        """As Engines says."""
        with _reaching(loaded):
            found: Completion | Trouble = await self._handles[loaded].complete.remote(call)
            return found

    async def stream(self, loaded: str, call: Call) -> AsyncIterator[str | Completion | Trouble]:
        """As Engines says."""
        with _reaching(loaded):
            asked: Any = self._handles[loaded].stream.options(stream=True).remote(call)
            async for item in _until_left(asked):
                yield item

    async def score(self, loaded: str, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """As Engines says."""
        with _reaching(loaded):
            found: list[dict[str, Any]] = await self._handles[loaded].score.remote(pairs)
            return found

    async def conditions(self) -> Mapping[str, Condition]:
        """As Engines says; looked up at most once a second."""
        then, found = self._seen
        if not found or time.monotonic() - then > CONDITION_SECONDS:
            found = await asyncio.to_thread(conditions, list(self._handles))
            self._seen = (time.monotonic(), found)
        return found


class Gateway:
    """The ingress: all routes, with the engines behind handles."""

    def __init__(self, setup: Setup, handles: Mapping[str, DeploymentHandle[Any]]) -> None:
        if setup.folder.is_dir():
            os.chdir(setup.folder)
        logger = logging.getLogger("ray_jobs")
        logger.setLevel(logging.INFO)
        logger.handlers = logging.getLogger("ray.serve").handlers
        limits = setup.config.service.limits
        metrics = ServiceMetrics()
        self._setup, self._engines = setup, ServedEngines(setup.roster, handles, metrics)
        self._kept, self._own = TokenFile(setup.token_file), setup.own()
        self._known = {**setup.digests, **({RUNS: digest(self._own.token)} if self._own else {})}
        self._usage = MeteredUsage(limits.requests, limits.share, metrics)

    async def drain(self, seconds: float) -> int:
        """Take no more requests, and wait so long for those under way; how many are left."""
        self._usage.closing = True
        deadline = time.monotonic() + seconds
        while (left := self._usage.under_way.total()) and time.monotonic() < deadline:
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        return left

    def __serve_build_asgi_app__(self) -> ASGIApp:  # Serve's name
        setup = self._setup
        jobs = RayJobs(setup.dashboard, setup.folder, setup.cluster) if setup.dashboard else None
        config, logs = setup.config, log_folder()
        state = ServiceState(
            config.roots(),
            setup.settings,
            config.storage,
            jobs=jobs,
            engines=self._engines,
            config=config,
            # Serve ends a replica's process with a kill, after which nobody cleans up
            cache=str(logs.parent / INDEXES) if logs else None,
            own=self._own,
        )
        return application(state, self._digests, self._usage)

    def _digests(self) -> Mapping[str, str]:
        try:
            return {**self._kept.digests(), **self._known}
        except ConfigError as error:
            log.error("%s; its tokens do not count", error)
            return self._known


def gateway(setup: Setup) -> serve.Application:
    """The whole application: the gateway, bound to a deployment for each loaded model."""
    settings = setup.config.service
    drain = {"graceful_shutdown_timeout_s": settings.limits.drain_seconds, "graceful_shutdown_wait_loop_s": 0.5}
    handles: dict[str, Any] = {}
    for item in setup.roster.loaded:
        options = {"name": item.name, **_options(item), **drain}
        if isinstance(item.model, ScorerKind):
            replica = serve.deployment(**options)(ScoreReplica)
            handles[item.name] = replica.bind(item.model, item.with_reasoning)
        else:
            replica = serve.deployment(**options)(EngineReplica)
            handles[item.name] = replica.bind(item.model, settings.free_sequences)
    options = {"name": GATEWAY, "max_ongoing_requests": QUEUED, "ray_actor_options": {"num_cpus": 1}, **drain}
    front: serve.Application = serve.deployment(**options)(serve.ingress()(Gateway)).bind(setup, handles)
    return front


def conditions(names: Sequence[str]) -> Mapping[str, Condition]:
    """How the deployments of these names stand."""
    with _reaching("Ray Serve"):
        app = serve.status().applications.get(APP)
    found = app.deployments if app else {}
    return {name: _condition(found[name]) if name in found else Condition("loading", 0) for name in names}


def _condition(found: DeploymentStatusOverview) -> Condition:
    # members of an enumeration of texts, or the texts
    running = sum(number for state, number in found.replica_states.items() if state == "RUNNING")
    why = " ".join(found.message.split())[-600:] or None
    if running:
        return Condition("ready", running)
    return Condition("failed" if found.status in ("DEPLOY_FAILED", "UNHEALTHY") else "loading", 0, why)


def _options(item: Loaded) -> dict[str, Any]:
    minimum, maximum = item.shape.own_bounds
    sized: dict[str, Any] = {"num_replicas": minimum}
    if minimum < maximum:
        scaling = {"min_replicas": minimum, "max_replicas": maximum, "target_ongoing_requests": _target(item.model)}
        sized = {"autoscaling_config": scaling}
    return {
        **sized,
        "max_ongoing_requests": QUEUED,
        # what is not asked for must be left out
        "ray_actor_options": {name: value for name, value in on_one_machine(item.shape).items() if value is not None},
        # three that fail end a replica
        "health_check_period_s": 1,
        "max_constructor_retry_count": RETRIES,
    }


def _target(model: Any) -> int:
    """How many requests of a replica keep it busy."""
    if isinstance(model, VllmConfig):
        return int(argument(model, "max_num_seqs", TARGET) * argument(model, "data_parallel_size", 1))
    return (model.max_concurrency() if isinstance(model, EngineKind) else None) or TARGET


def _by_priority(model: EngineKind) -> EngineKind:
    """The engine with a queue in which people come before batch runs, where its configuration leaves that open."""
    if not isinstance(model, VllmConfig):
        return model
    arguments = {"scheduling_policy": "priority", **model.arguments}
    return model.model_copy(update={"arguments": arguments})


async def _until_left(asked: Any) -> AsyncIterator[Any]:
    """What a replica sends; it is told when nobody listens any more."""
    whole = False
    try:
        async for item in asked:
            yield item
        whole = True
    finally:
        if not whole:
            asked.cancel()


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    try:
        yield
    except (RayError, RayServeException) as error:
        told = str(error).strip().splitlines()
        raise ClusterError(f"{name} cannot be reached: {told[-1] if told else type(error).__name__}") from error
