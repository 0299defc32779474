"""From configuration to the things that run: engines, strategies, the responder."""

from __future__ import annotations

import os

from evolve.elimination import Elimination
from evolve.engine import Engine
from evolve.evol_instruct import EvolInstruct, operator_order
from evolve.flow import Strategy
from evolve.respond import Responder
from ray_jobs.config import EngineConfig, EvolInstructConfig, OpenAIConfig, RunConfig, ScriptedConfig, VllmConfig


def build_engine(config: EngineConfig) -> Engine:
    """Load the engine of one actor. Imports only what this engine needs."""
    match config:
        case VllmConfig():
            os.environ.update(config.environment)
            from evolve.vllm_engine import VllmEngine

            return VllmEngine(config.model, config.arguments)
        case OpenAIConfig():
            from evolve.openai_engine import OpenAIEngine

            return OpenAIEngine(config.url, config.model, config.key_variable, config.timeout_seconds, config.retries)
        case ScriptedConfig():
            from evolve.scripted_engine import Script, ScriptedEngine

            return ScriptedEngine(Script(**config.model_dump(exclude={"kind", "model"})))


def build_strategy(config: EvolInstructConfig) -> Strategy:
    """The strategy with its templates read and checked. Raises TemplateError."""
    return EvolInstruct(
        rounds=config.rounds,
        operators=operator_order(config.breadth, config.complicate_input),
        sampling=config.sampling.build(),
        elimination=config.rules(),
        templates=config.templates,
    )


def build_responder(config: RunConfig) -> Responder:
    """What turns an evolved instruction into an answer."""
    return Responder(config.responder.sampling.build(), response_rules(config))


def response_rules(config: RunConfig) -> Elimination:
    """The rules on responses: those of the strategy."""
    return config.strategy.rules()
