"""Reading the configuration of a run of any kind: the strategy's kind tells which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from ray_jobs.config.kinds import STRATEGIES
from ray_jobs.config.load import overridden, read_settings, validated
from ray_jobs.config.registry import at
from ray_jobs.config.strategies import EvolvingConfig, StrategyKind
from ray_jobs.jobs.finish_config import FinishingConfig


def load_config(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), output: str | None = None
) -> FinishingConfig:
    """Read and check a run's configuration: a YAML file, or the same settings as a mapping.

    `overrides` are "dotted.path=value" with YAML values, applied in order; `output` replaces the configured one.
    `${NAME}` in a text is a variable of the environment. Raises ConfigError with one line a wrong field.

    >>> config = load_config("run.yaml", ["strategy.rounds=2"], output="out/second")
    >>> config.output, config.strategy.rounds
    ('out/second', 2)
    >>> load_config("run.yaml", ["strategy.rounds=none"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ray_jobs.errors.ConfigError: run.yaml: ...
    """
    if isinstance(source, Mapping):
        raw, name = overridden(deepcopy(dict(source)), overrides), "the settings"
    else:
        raw, name = overridden(read_settings(Path(source)), overrides), str(source)
    if output is not None:
        raw["output"] = output
    return checked(raw, name)


def checked(raw: Mapping[str, Any], source: str | Path) -> FinishingConfig:
    """A run's configuration as it was read from `source`. Raises ConfigError."""
    # what is no strategy at all is told by the configuration of most runs
    kind = cast(type[StrategyKind], STRATEGIES.chosen(raw.get("strategy")) or EvolvingConfig)
    model: type[FinishingConfig] = at(kind.run_config)
    return validated(model, raw, str(source))
