"""What can be told to be wrong before anything starts: templates, models, local paths."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_OFFLINE

from evolve.engines.adapters import read_adapter
from evolve.engines.chat import found_template
from evolve.engines.reasoning import AUTO, NONE, parser_for
from evolve.engines.vllm_build import check_arguments, vllm_build
from evolve.errors import EvolveError, SettingError
from evolve.flow import Strategy
from evolve.prompts import Template, check_folder, shipped_names
from evolve.strategies.method import Method
from evolve.strategies.respond import load_response_template
from ray_jobs.config.base import SamplingConfig
from ray_jobs.config.engine_kinds import EngineKind, VllmConfig
from ray_jobs.config.engines import build_strategy
from ray_jobs.config.run import (
    ModelScorerConfig,
    OutputConfig,
    PoolResponderConfig,
    RewardConfig,
    RunConfig,
)
from ray_jobs.config.secrets import absent, secrets_in
from ray_jobs.errors import ConfigError, LeaseHeld, StorageError
from ray_jobs.jobs.analysis.config import EncoderConfig
from ray_jobs.jobs.autoif.config import ClassifierConfig
from ray_jobs.jobs.methods import saved_method
from ray_jobs.output import accept, ownership
from ray_jobs.output.begun_with import refuse_changes
from ray_jobs.output.lease import current
from ray_jobs.pipeline.job import Job
from ray_jobs.pipeline.stage import Stage
from ray_jobs.runner.address import starts_here
from ray_jobs.seeds.read import read_seeds
from ray_jobs.storage.store import open_store

FORM, FORM_SETTINGS = "structured_outputs", "structured_outputs_config"
"""vLLM's names for a request's form, and for an engine's settings of forms."""
CLASSIFIER = "AutoModelForSequenceClassification"
"""The loader of transformers that a model's own code must offer, if it has any, in its config.json's `auto_map`."""


@dataclass(frozen=True)
class Checked:
    """What checking a configuration has read: its strategy, its response template, the saved method that it names."""

    strategy: Strategy
    response: Template
    method: Method | None


def check(run: RunConfig) -> Checked:
    """Check what needs no cluster. Raises ConfigError, and StorageError where a method cannot be reached."""
    method = saved_method(run)
    try:
        if run.strategy.templates is not None:
            own = run.strategy.own_templates
            check_folder(run.strategy.templates, shipped_names() | (shipped_names(own) if own else set()))
        strategy = build_strategy(run.strategy, method)
        response = load_response_template(run.responder.prompt, run.strategy.templates)
    except EvolveError as error:
        raise ConfigError(f"strategy: {error}") from None
    check_variables(run)
    evolving = [evolver.engine for evolver in run.evolvers.values()]
    check_sampling("strategy.sampling", run.strategy.sampling, evolving)
    answering = [run.responder.engine] if isinstance(run.responder, PoolResponderConfig) else evolving
    check_sampling("responder.sampling", run.responder.sampling, answering)
    return Checked(strategy, response, method)


def check_models(stages: Iterable[Stage]) -> None:
    """Check that the models of stages are there, as far as they are loaded here. Raises ConfigError."""
    for stage in stages:
        check_loaded(stage.place, stage.model)


def check_loaded(place: str, model: Any) -> None:
    """Check that the model which the configuration at `place` has loaded is there and reads what it is given.

    Raises ConfigError.
    """
    match model:
        case ModelScorerConfig():
            check_model(f"{place}.model", model.model)
            if model.reward:
                check_reward_model(f"{place}.reward", model.reward)
        case RewardConfig():
            check_reward_model(place, model)
        case EngineKind(holds_weights=True) | ClassifierConfig() | EncoderConfig():
            check_model(f"{place}.model", model.model)
    if isinstance(model, VllmConfig):
        check_chat(place, model)
        check_adapters(place, model)


def check_places(job: Job) -> None:
    """Check that seeds can be read, and that the output can be listed and is new, empty or ours.

    Raises SeedError, StorageError, OutputError.
    """
    read_seeds(job.seed_source())  # checks all files; reads no row before it is asked for one
    store = open_store(job.config.output, job.config.storage)
    ownership.check_place(store, job.holds)
    store.list("manifest")


def check_writable(job: Job) -> None:
    """Check that the output takes files and that nothing else works on it. Raises StorageError, OutputError.

    Leaves no file there. A local folder that is not there yet is not made: the one above it must be open to us.
    """
    store = open_store(job.config.output, job.config.storage)
    holder = current(store)
    if holder and holder.alive:
        raise LeaseHeld(f"{store.url}: {holder} is working on this output")
    if "://" in store.url or Path(store.url).is_dir():
        probe = f".probe-{uuid.uuid4().hex}"
        store.write_bytes(probe, b"")
        store.delete([probe])
        return
    above = next(folder for folder in Path(store.url).parents if folder.exists())
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise StorageError(f"{store.url}: cannot be made, {above} cannot be written to")


def check_settings(job: Job) -> None:
    """Check that the output was not begun under settings that give other results. Raises SettingsChanged."""
    store = open_store(job.config.output, job.config.storage)
    refuse_changes(store, accept.load(store), job.noted())


def check_variables(config: OutputConfig) -> None:
    """Check that variables are set which the configuration takes values from. Raises ConfigError.

    On a cluster that stands they are those of its machines, which this process cannot see: there actors tell.
    """
    if not starts_here(config.ray.address):
        return
    for path, secret in secrets_in(config):
        if secret.variable is not None and secret.variable not in os.environ:
            raise ConfigError(f"{path}: {absent(secret.variable)}")


def check_chat(place: str, engine: VllmConfig) -> None:
    """Check that a vLLM engine's model reads what it is given. Raises ConfigError, naming `place`.

    What the hub holds and this machine does not is looked at when it loads.
    """
    here, template = found_template(engine.model)
    try:
        if here or engine.chat_template:
            engine.chat().check(template)
            if engine.reasoning == AUTO:
                parser_for(engine.chat_template or template)
        if engine.reasoning not in (AUTO, NONE) and (build := vllm_build()):
            build.check_parser(engine.reasoning)
        check_arguments(engine.arguments)
        if isinstance(settings := engine.arguments.get(FORM_SETTINGS), Mapping) and (build := vllm_build()):
            build.check_settings(f"arguments.{FORM_SETTINGS}", settings)
    except SettingError as error:
        raise ConfigError(f"{place}.{error}") from None


def check_adapters(place: str, engine: VllmConfig) -> None:
    """Check that the adapters of a vLLM engine are there and of its model. Raises ConfigError, naming `place`."""
    for adapter in filter(None, (engine.adapter, *engine.others)):
        try:
            read_adapter(adapter, engine.model)
        except SettingError as error:
            raise ConfigError(f"{place}.{error}") from None


def check_sampling(place: str, sampling: SamplingConfig, engines: Iterable[EngineKind]) -> None:
    """Check that vLLM, where one of `engines` is it, knows what `extra` holds. Raises ConfigError, naming `place`.

    On a machine without vLLM its actors find out.
    """
    if sampling.extra and any(isinstance(engine, VllmConfig) for engine in engines) and (build := vllm_build()):
        try:
            build.check_extra(sampling.extra)
            if isinstance(form := sampling.extra.get(FORM), Mapping):
                build.check_form(f"extra.{FORM}", form)
        except SettingError as error:
            raise ConfigError(f"{place}.{error}") from None


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


def check_reward_model(section: str, reward: RewardConfig) -> None:
    """As `check_model`, and refuse a folder whose model has another number of outputs than one.

    What the hub holds is seen when it loads. `section` names the reward's place in the configuration.
    """
    place = f"{section}.model"
    check_model(place, reward.model)
    folder = Path(reward.model)
    if not folder.is_dir():
        return
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{place}: {folder / 'config.json'} is not JSON: {error}") from None
    kinds = settings.get("architectures") or []
    if CLASSIFIER in (settings.get("auto_map") or {}):
        if not reward.trust_remote_code:
            raise ConfigError(
                f"{place}: {folder} comes with code of its own; {section}.trust_remote_code: true runs it"
            )
        return
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        found = ", ".join(kinds) or "one that names no architecture"
        own = f"; its own code offers no {CLASSIFIER}" if settings.get("auto_map") else ""
        raise ConfigError(f"{place}: expected a sequence classification model, {folder} holds {found}{own}")
    # transformers writes out the labels, except where there are two without names
    labels = len(settings.get("id2label") or "..")
    if labels != 1:
        raise ConfigError(f"{place}: expected a reward model with one label, {folder} has {labels}")
