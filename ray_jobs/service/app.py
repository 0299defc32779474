"""From a configuration to the application on Ray Serve."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import serve

from ray_jobs.config.load import overridden, read_raw, validated
from ray_jobs.errors import ConfigError
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.deployments import Setup, gateway
from ray_jobs.service.engines import roster
from ray_jobs.service.tokens import from_environment, token_file


def prepare(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), output: str | None = None) -> Setup:
    """Check a configuration, from a file or as settings, and what it names. Nothing is started. Raises ConfigError."""
    if isinstance(source, Mapping):
        raw, name = overridden(dict(source), overrides), "the settings"
    else:
        raw, name = read_raw(Path(source), overrides, output), str(source)
    config = validated(ServedRunConfig, raw, name)
    settings = {key: value for key, value in raw.items() if key != "service"}
    return Setup(config, settings, roster(config), from_environment(), token_file(), Path.cwd())


def application(arguments: dict[str, Any]) -> serve.Application:
    """The application for `serve deploy`, with `config`, a file or settings, and `dashboard` as its arguments.

    Tokens are those of the environment and the token file, on the gateway's node. Raises ConfigError without any.
    """
    setup = prepare(arguments["config"])
    if not setup.digests and not setup.token_file.exists():
        raise ConfigError("EVOLVE_SERVICE_TOKENS: expected NAME=TOKEN in the environment of the head and the workers")
    return gateway(Setup(**{**vars(setup), "dashboard": arguments.get("dashboard") or os.environ.get("RAY_DASHBOARD")}))
