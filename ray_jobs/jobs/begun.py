"""Defaults that have changed since outputs were begun under them: an output goes on as it was begun, and says so.

Such a field says by `json_schema_extra={"before": VALUE}` what stood in its place before there was the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from ray_jobs.config.run import OutputConfig
from ray_jobs.output import accept
from ray_jobs.output.run_files import read_run
from ray_jobs.storage.store import Store, open_store

AnyConfig = TypeVar("AnyConfig", bound=OutputConfig)
BEFORE = "before"


def as_begun(config: AnyConfig, store: Store | None = None) -> tuple[AnyConfig, list[str]]:
    """`config` with the defaults of the time at which its output was begun, and one line a default that differs.

    Only fields that stand at today's default are set back, and only where the output's own configuration lacks them.
    `store` is where that is looked for, by default the output. Raises StorageError where it cannot be read.
    """
    store = store or open_store(config.output, config.storage)
    if not accept.is_planned(store):
        return config, []
    return with_defaults_of(config, read_run(store).get("configuration"))


def with_defaults_of(config: AnyConfig, stored: Any) -> tuple[AnyConfig, list[str]]:
    """As `as_begun`, for an output whose configuration, as JSON, is `stored`."""
    lines = list[str]()
    return _set_back(config, stored, "", lines), lines


def _set_back(value: Any, stored: Any, path: str, lines: list[str]) -> Any:
    if not isinstance(stored, Mapping):
        return value
    if isinstance(value, Mapping):
        return {name: _set_back(item, stored.get(name), f"{path}{name}.", lines) for name, item in value.items()}
    if not isinstance(value, BaseModel):
        return value
    changed: dict[str, Any] = {}
    for name, field in type(value).model_fields.items():
        item, extra = getattr(value, name), field.json_schema_extra
        if not isinstance(extra, dict) or BEFORE not in extra:
            changed[name] = _set_back(item, stored.get(name), f"{path}{name}.", lines)
        elif name not in stored and item == field.default:
            changed[name] = extra[BEFORE]
            lines.append(f"{path}{name}: {extra[BEFORE]}, as this output was begun before there was the field")
    return value.model_copy(update=changed)
