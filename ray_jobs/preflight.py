"""What can be told to be wrong before anything starts: templates, models, local paths."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_OFFLINE

from evolve.errors import EvolveError
from evolve.flow import Strategy
from evolve.method import Method
from evolve.prompts import check_folder, shipped_names
from ray_jobs.autoif.config import ClassifierConfig
from ray_jobs.config import (
    EngineConfig,
    JobConfig,
    ModelScorerConfig,
    PoolResponderConfig,
    RunConfig,
    ScorerConfig,
    VllmConfig,
)
from ray_jobs.engines import build_strategy
from ray_jobs.errors import ConfigError, LeaseHeld, OutputError
from ray_jobs.job import Job
from ray_jobs.lease import current
from ray_jobs.methods import saved_method
from ray_jobs.seeds import read_seeds
from ray_jobs.storage import open_store

AnyModel = TypeVar("AnyModel", EngineConfig, ScorerConfig, ClassifierConfig)


@dataclass(frozen=True)
class Checked:
    """What checking a configuration has read: its strategy, and the saved method that it names."""

    strategy: Strategy
    method: Method | None


def check(run: RunConfig) -> Checked:
    """Check what needs no cluster. Raises ConfigError, and StorageError where a method cannot be reached."""
    method = saved_method(run)
    try:
        if run.strategy.templates is not None:
            check_folder(run.strategy.templates, shipped_names())
        strategy = build_strategy(run.strategy, method)
    except EvolveError as error:
        raise ConfigError(f"strategy: {error}") from None
    for name, evolver in run.evolvers.items():
        check_engine(f"evolvers.{name}.engine", evolver.engine)
    if isinstance(run.responder, PoolResponderConfig):
        check_engine("responder.engine", run.responder.engine)
    check_scorer(run.scorer)
    return Checked(strategy, method)


def check_scorer(scorer: ScorerConfig | None) -> None:
    """Check that the scorer's model is there. Raises ConfigError."""
    if isinstance(scorer, ModelScorerConfig):
        check_model("scorer.model", scorer.model)


def check_places(job: Job) -> None:
    """Check that seeds can be read and that the output can be listed. Raises SeedError, StorageError."""
    read_seeds(job.seed_source())  # checks all files; reads no row before it is asked for one
    open_store(job.config.output, job.config.storage).list("manifest")


def empty_output(run: JobConfig, delete: bool) -> None:
    """Make sure that the output is empty, removing what is there only where `delete` says so. Raises OutputError."""
    store = open_store(run.output, run.storage)
    files = [path for path, _ in store.list()]
    if files and not delete:
        raise OutputError(
            f"{store.url}: --fresh wants an empty output, this one holds {len(files):,} files; see --delete"
        )
    holder = current(store)
    if holder and holder.alive is not False:
        raise LeaseHeld(f"{store.url}: {holder} may be working on this output; stop it first")
    store.delete(files)


def absolute(config: AnyModel) -> AnyModel:
    """The same model with a local folder written as an absolute path: workers have another working directory."""
    folder = Path(config.model)
    return config.model_copy(update={"model": str(folder.resolve())}) if folder.is_dir() else config


def check_engine(place: str, engine: EngineConfig) -> None:
    """Check that a vLLM engine's model is there. Raises ConfigError, naming `place`."""
    if isinstance(engine, VllmConfig):
        check_model(f"{place}.model", engine.model)


def check_model(place: str, model: str) -> None:
    """Refuse a folder without a model, and a hub id that offline mode cannot serve, naming `place`."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{place}: {model} is a folder without config.json, expected a Hugging Face model folder")
        return
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise ConfigError(f"{place}: there is no folder {model}; expected a model folder or a hub id such as ORG/NAME")
    if HF_HUB_OFFLINE and not isinstance(try_to_load_from_cache(model, "config.json"), str | os.PathLike):
        raise ConfigError(f"{place}: {model} is not in the local hub cache, and HF_HUB_OFFLINE forbids fetching it")
