"""From configuration to the things that run: engines, strategies, the responder."""

from __future__ import annotations

import os

from evolve.engine import Engine
from evolve.engines.masked_engine import MaskedEngine
from evolve.engines.reasoning import AUTO
from evolve.errors import SettingError
from evolve.flow import Strategy
from evolve.masking import concealed
from evolve.prompts import Template
from evolve.strategies.auto_evol import AutoEvol
from evolve.strategies.elimination import Elimination
from evolve.strategies.evol_instruct import EvolInstruct, operator_order
from evolve.strategies.method import Method
from evolve.strategies.respond import BARE, Responder
from ray_jobs.config.run import EngineConfig, OpenAIConfig, RunConfig, ScriptedConfig, VllmConfig
from ray_jobs.config.secrets import known_secrets, revealed
from ray_jobs.config.strategies import AutoEvolConfig, EvolInstructConfig, StrategyConfig
from ray_jobs.errors import EngineRefuses


def build_engine(config: EngineConfig) -> Engine:
    """Load the engine of one actor. Imports only what this engine needs. No error of the engine repeats a secret.

    Raises ConfigError where a variable is missing that the configuration takes a value from, and for settings that the
    model or the engine's build cannot use.
    """
    secrets = known_secrets(config)
    if isinstance(config, OpenAIConfig):
        secrets += (os.environ.get(config.key_variable, ""),)
    try:
        with concealed(secrets):
            engine = _load(config)
    except SettingError as error:
        raise EngineRefuses(f"engine.{error}") from None
    return MaskedEngine(engine, secrets) if secrets else engine


def _load(config: EngineConfig) -> Engine:
    match config:
        case VllmConfig():
            arguments = revealed(config.arguments, "arguments")
            os.environ.update(revealed(config.environment, "environment"))
            from evolve.engines.vllm_engine import VllmEngine

            return VllmEngine(config.model, arguments, config.chat(), config.reasoning, config.reasoning_tokens)
        case OpenAIConfig():
            from evolve.engines.openai_engine import OpenAIEngine

            url = revealed(config.url, "url")
            server = (url, config.model, config.key_variable, config.timeout_seconds, config.retries)
            return OpenAIEngine(*server, config.chat(), config.reasoning == AUTO, config.reasoning_tokens or 0)
        case ScriptedConfig():
            from evolve.testing.scripted_engine import Script, ScriptedEngine

            return ScriptedEngine(Script(**config.model_dump(exclude={"kind", "model"})))


def build_strategy(config: StrategyConfig, method: Method | None = None) -> Strategy:
    """The strategy with its templates read and checked. `method` is the saved one that `config` names, if any.

    Raises TemplateError.
    """
    sampling, rules, templates = config.sampling.build(), config.rules(), config.templates
    match config:
        case EvolInstructConfig():
            operators = operator_order(config.breadth, config.complicate_input)
            return EvolInstruct(config.rounds, operators, sampling, rules, templates, config.forms)
        case AutoEvolConfig():
            saved = method.template() if method else None
            return AutoEvol(config.rounds, sampling, rules, templates, saved, config.forms)


def build_responder(config: RunConfig, template: Template = BARE) -> Responder:
    """What turns an evolved instruction into an answer."""
    return Responder(config.responder.sampling.build(), response_rules(config), template)


def response_rules(config: RunConfig) -> Elimination:
    """The rules on responses: those of the strategy."""
    return config.strategy.rules()
