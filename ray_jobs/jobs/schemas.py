"""The JSON schema of every kind of configuration, by which editors complete and check YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from ray_jobs.config.run import RespondConfig, ScoreConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.analysis.config import AnalysisConfig
from ray_jobs.jobs.finish_config import FinishingAutoIFConfig, FinishingRunConfig, StepConfig
from ray_jobs.jobs.method_search.config import OptimizeConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS: Mapping[str, Any] = {
    "run": FinishingRunConfig,
    "autoif": FinishingAutoIFConfig,
    "score": ScoreConfig,
    "respond": RespondConfig,
    "analysis": AnalysisConfig,
    "finish": tuple[StepConfig, ...],
    "search": OptimizeConfig,
}
"""What is described, by the name under which it is: whole configurations, one analysis, the steps at a run's end."""


def schema(kind: str, kinds: Mapping[str, Any] = KINDS) -> dict[str, Any]:
    """The schema of one of `kinds`, with those that installed packages add inside. Raises ConfigError."""
    if kind not in kinds:
        raise ConfigError(f"schema: expected one of {', '.join(kinds)}, got {kind}")
    found = TypeAdapter[Any](kinds[kind]).json_schema()
    if kind == "analysis":
        # `evolve analyse` takes the kind from the command line
        found["anyOf"] = [_kind_optional(item) for item in found["anyOf"]]
        for item in found["$defs"].values():
            _kind_optional(item)
    return {"$schema": DIALECT, "title": f"slm-evolve: {kind}"} | found


def _kind_optional(item: dict[str, Any]) -> dict[str, Any]:
    for part in (item, *item.get("allOf", ())):
        if required := [name for name in part.pop("required", ()) if name != "kind"]:
            part["required"] = required
    return item
