"""Reading the configuration of a run of any kind: the strategy's kind tells which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ray_jobs.config.kinds import STRATEGIES
from ray_jobs.config.load import read_raw, validated
from ray_jobs.config.registry import at
from ray_jobs.config.strategies import EvolvingConfig, StrategyKind
from ray_jobs.jobs.finish_config import FinishingConfig


def load_config(path: Path, overrides: Sequence[str] = (), output: str | None = None) -> FinishingConfig:
    """Read and check the run configuration at `path`, as `read_config` does. The strategy's kind tells which it is."""
    return checked(read_raw(path, overrides, output), path)


def checked(raw: Mapping[str, Any], path: Path) -> FinishingConfig:
    """A run's configuration as it was read from `path`. Raises ConfigError."""
    # what is no strategy at all is told by the configuration of most runs
    kind = cast(type[StrategyKind], STRATEGIES.chosen(raw.get("strategy")) or EvolvingConfig)
    model: type[FinishingConfig] = at(kind.run_config)
    return validated(model, raw, str(path))
