"""The strategy that a client asks for: its settings over the service's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evolve.errors import EvolveError
from evolve.flow import Strategy
from evolve.prompts import check_folder, shipped_names
from evolve.strategies.respond import Responder, load_response_template
from ray_jobs.config.base import Strict
from ray_jobs.config.engines import build_responder, build_strategy
from ray_jobs.config.load import validated
from ray_jobs.config.strategies import EvolvingConfig, StrategyConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.methods import saved_method
from ray_jobs.service.client_settings import refuse
from ray_jobs.service.config import ServedRunConfig

WRONG = "the request is wrong\n  "


class _Asked(Strict):
    strategy: StrategyConfig


@dataclass(frozen=True)
class Asked:
    """What evolves and what answers."""

    strategy: Strategy
    responder: Responder


def over_own(sent: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy's settings as sent; what they do not say is as the service's own, where that is of the same kind."""
    kind = own.get("kind", "evol_instruct")
    return {**own, **sent} if sent.get("kind", kind) == kind else dict(sent)


def asked_strategy(
    config: ServedRunConfig, own: Mapping[str, Any], sent: Mapping[str, Any], rounds: int | None
) -> Asked:
    """The strategy of settings that were `sent`, over the service's `own`. Raises ConfigError, and Refused."""
    refuse({"strategy": sent}, {"strategy": own}, allow=config.service.allow)
    whole = over_own(sent, own) | ({"rounds": rounds} if rounds is not None else {})
    strategy = validated(_Asked, {"strategy": whole}, "the request").strategy
    if strategy.rounds > (most := config.service.limits.rounds):
        raise ConfigError(f"{WRONG}strategy.rounds: expected at most {most}, got {strategy.rounds}")
    run = config.model_copy(update={"strategy": strategy})
    try:
        _check_templates(strategy)
        built = build_strategy(strategy, saved_method(run))
        response = load_response_template(config.responder.prompt, strategy.templates)
    except EvolveError as error:
        where = "strategy." if str(error).startswith("templates.") else "strategy: "
        raise ConfigError(f"{WRONG}{where}{error}") from None
    return Asked(built, build_responder(run, response))


def _check_templates(strategy: EvolvingConfig) -> None:
    if strategy.templates is not None:
        own = strategy.own_templates
        check_folder(strategy.templates, shipped_names() | (shipped_names(own) if own else set()))
