"""Reading the configuration of a run of any kind: the strategy's kind tells which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_jobs.config.load import AUTOIF, read_raw, validated
from ray_jobs.jobs.finish_config import FinishingAutoIFConfig, FinishingConfig, FinishingRunConfig


def load_config(path: Path, overrides: Sequence[str] = (), output: str | None = None) -> FinishingConfig:
    """Read and check the run configuration at `path`, as `read_config` does. The strategy's kind tells which it is."""
    return checked(read_raw(path, overrides, output), path)


def checked(raw: Mapping[str, Any], path: Path) -> FinishingConfig:
    """A run's configuration as it was read from `path`. Raises ConfigError."""
    strategy = raw.get("strategy")
    if isinstance(strategy, dict) and strategy.get("kind") == AUTOIF:
        return validated(FinishingAutoIFConfig, raw, str(path))
    return validated(FinishingRunConfig, raw, str(path))
