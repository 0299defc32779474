"""Numbers among the arguments of vLLM."""

from __future__ import annotations

from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.secrets import Secret, revealed
from ray_jobs.errors import ConfigError


def argument(engine: VllmConfig, name: str, default: float) -> float:
    """A number, or `default` where it is not given or a variable holds it that is not here. Raises ConfigError."""
    given = engine.arguments.get(name)
    try:
        value = revealed(given)
    except ConfigError:
        # the engine's actor may have the variable all the same
        return default
    try:
        return default if value is None else float(value)
    except (TypeError, ValueError):
        shown = "the text of a variable" if isinstance(given, Secret) else repr(given)
        raise ConfigError(f"arguments.{name} of {engine.model}: expected a number, got {shown}") from None
