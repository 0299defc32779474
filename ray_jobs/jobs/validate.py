"""All that `evolve validate` finds out before a run: seeds, size, models, servers, output."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from evolve.engine import PROBE
from evolve.errors import EngineDied, PromptRefused, SettingsRefused
from ray_jobs.config.engine_kinds import EngineKind, OpenAIConfig
from ray_jobs.config.engines import build_engine
from ray_jobs.config.run import ScriptedScorerConfig
from ray_jobs.errors import ConfigError, JobError
from ray_jobs.jobs.preflight import check_places, check_settings, check_writable
from ray_jobs.output.plan import check_size
from ray_jobs.pipeline.job import Job, SeededJob
from ray_jobs.pipeline.stage import Stage
from ray_jobs.runner.address import starts_here
from ray_jobs.seeds.read import read_seeds

READ_SECONDS = 20.0
"""How long seeds are read before what was read stands for the rest."""
ASK_SECONDS = 30.0
MODEL = "model"


def check_all(job: Job, offline: bool = False) -> Iterator[str]:
    """Check what a run of `job` needs, and tell of each thing; what could not be checked is told as that.

    With `offline` no server of a model is asked.

    Raises ConfigError, SeedError, StorageError, OutputError.
    """
    check_places(job)
    check_settings(job)
    yield from _seeds(job)
    yield from _models(job, offline)
    check_writable(job)
    yield f"output: {job.config.output} can be written to"


def _seeds(job: Job) -> Iterator[str]:
    ends_at, whole, report = time.monotonic() + READ_SECONDS, True, None
    for batch in read_seeds(job.seed_source()):
        report = batch.report
        if time.monotonic() > ends_at:
            whole = False
            break
    seeds = report.seeds if report else 0
    about = "" if whole else "at least "
    yield f"seeds: {about}{seeds:,} usable of {report.read if report else 0:,} rows read"
    yield from (f"  {line}" for line in (report.lines() if report else []))
    if isinstance(job, SeededJob):
        rows = job.fanout().rows_of(seeds)
        check_size(rows, job.config.limits.planned_rows, seeds)
        yield f"rows: {about}{rows:,} planned, {rows * job.records_per_row:,} records"


def _models(job: Job, offline: bool) -> Iterator[str]:
    unasked = "" if starts_here(job.config.ray.address) else "only the cluster's machines ask it"
    unasked = "--offline asks no server" if offline else unasked
    if not unasked:
        # here, for it loads an HTTP client
        from ray_jobs.runner.servers import check_servers

        check_servers(job.pipeline.stages)
    seen = set[str]()
    for stage in job.pipeline.stages:
        name = getattr(stage.model, MODEL, "")
        if (told := f"{stage.place}: {_found(stage, name, unasked)}") not in seen:
            seen.add(told)
            yield told


def _found(stage: Stage, name: str, unasked: str) -> str:
    """What is known of a stage's model; `unasked` says why no server is asked, if none is."""
    if isinstance(stage.model, OpenAIConfig):
        return f"{name}: not checked, {unasked}" if unasked else _answer(stage, stage.model)
    if isinstance(stage.model, ScriptedScorerConfig) or (
        isinstance(stage.model, EngineKind) and not stage.model.holds_weights
    ):
        return f"{name}: needs no model"
    return f"{name}: a model's folder" if Path(name).is_dir() else f"{name}: not checked, no folder on this machine"


def _answer(stage: Stage, config: OpenAIConfig) -> str:
    """What each server says to the plainest prompt there is. Raises ConfigError where one would take none."""
    places, told = config.places(), dict[str, None]()
    for url, key in places:
        try:
            told[_told(config.model_copy(update={"url": url, "api_key_env": key}))] = None
        except SettingsRefused as refused:
            under = f", under the key of {key}" if len(places) > 1 else ""
            raise ConfigError(f"{stage.place}.{refused}{under}") from None
        except JobError as error:
            raise ConfigError(f"{stage.place}: {error}") from None
    return f"{config.model}: " + "; ".join(told)


def _told(config: OpenAIConfig) -> str:
    """What a server says to it. Raises SettingsRefused, JobError."""

    async def ask() -> None:
        engine = build_engine(config.model_copy(update={"retries": 0, "timeout_seconds": ASK_SECONDS}))
        try:
            await engine.generate(PROBE)
        finally:
            await engine.close()

    try:
        asyncio.run(ask())
    except SettingsRefused:
        raise
    except (PromptRefused, EngineDied) as error:
        return f"not checked, {error}"
    return "the server answers"
