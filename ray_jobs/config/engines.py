"""From configuration to the things that run: engines, strategies, the responder."""

from __future__ import annotations

from evolve.engine import Engine
from evolve.engines.masked_engine import MaskedEngine
from evolve.errors import SettingError
from evolve.flow import Strategy
from evolve.masking import concealed
from evolve.prompts import Template
from evolve.strategies.elimination import Elimination
from evolve.strategies.method import Method
from evolve.strategies.respond import BARE, Responder
from ray_jobs.config.engine_kinds import EngineKind
from ray_jobs.config.registered import naming
from ray_jobs.config.run import RunConfig
from ray_jobs.config.secrets import known_secrets
from ray_jobs.config.strategies import EvolvingConfig
from ray_jobs.errors import EngineRefuses


def build_engine(config: EngineKind) -> Engine:
    """Load the engine of one actor. Imports only what this engine needs. No error of the engine repeats a secret.

    Raises ConfigError where a variable is missing that the configuration takes a value from, and for settings that the
    model or the engine's build cannot use.
    """
    secrets = (*known_secrets(config), *config.hidden_texts())
    try:
        with concealed(secrets):
            engine = config.build()
    except SettingError as error:
        raise EngineRefuses(f"engine.{error}") from None
    return MaskedEngine(engine, secrets) if secrets else engine


def build_strategy(config: EvolvingConfig, method: Method | None = None) -> Strategy:
    """The strategy with its templates read and checked. `method` is the saved one that `config` names, if any.

    Raises TemplateError, and ConfigError where a plug-in's own code raises something else.
    """
    with naming(type(config), config.kind):
        return config.build(method)


def build_responder(config: RunConfig, template: Template = BARE) -> Responder:
    """What turns an evolved instruction into an answer."""
    return config.responder.build(response_rules(config), template)


def response_rules(config: RunConfig) -> Elimination:
    """The rules on responses: those of the strategy."""
    return config.strategy.rules()
