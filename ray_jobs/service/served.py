"""What the routes on engines need of the service's state, and the errors where it lacks it."""

from __future__ import annotations

from collections.abc import Sequence

from ray_jobs.errors import ConfigError
from ray_jobs.service.answers import NotFound
from ray_jobs.service.asked_strategy import WRONG
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engines import Engines, Served
from ray_jobs.service.state import ServiceState


def engines_of(state: ServiceState) -> tuple[Engines, ServedRunConfig]:
    """The engines and their configuration. Raises NotFound where nothing is loaded here."""
    if state.engines is None or state.config is None:
        raise NotFound("this service has no engines; `evolve serve CONFIG` serves those of a configuration")
    return state.engines, state.config


def chosen(engines: Engines, names: Sequence[str] | None) -> list[Served]:
    """The evolvers of these names, all by default. Raises ConfigError."""
    known = engines.roster.evolvers()
    if names is None:
        return list(known.values())
    for name in names:
        if name not in known:
            raise ConfigError(f"{WRONG}evolvers: expected some of {', '.join(known)}, got {name}")
    if not names:
        raise ConfigError(f"{WRONG}evolvers: expected at least one of {', '.join(known)}, got none")
    return [known[name] for name in dict.fromkeys(names)]


def scorer_of(engines: Engines) -> Served:
    """The scorer. Raises ConfigError."""
    if scorer := engines.roster.of_role("scorer"):
        return scorer
    raise ConfigError(f"{WRONG}score: expected a service whose configuration has a scorer, this one's has none")
