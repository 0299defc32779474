"""Defaults that have changed since outputs were begun under them: an output goes on as it was begun, and says so.

Such a field says by `json_schema_extra={"before": VALUE}` what stood in its place before there was the field.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from ray_jobs.config.run import OutputConfig
from ray_jobs.errors import OutputError
from ray_jobs.output import accept
from ray_jobs.output.file_names import RUN
from ray_jobs.output.run_files import SET_BACK, read_run
from ray_jobs.storage.store import Store, open_store

AnyConfig = TypeVar("AnyConfig", bound=OutputConfig)
BEFORE = "before"


def as_begun(config: AnyConfig, store: Store | None = None) -> tuple[AnyConfig, dict[str, Any]]:
    """`config` with the defaults of the time at which its output was begun, and those that differ, by dotted path.

    Only fields that stand at today's default are set back, and only where the output was begun without them. `store` is
    where that is looked for, by default the output. Raises StorageError where it cannot be read.
    """
    store = store or open_store(config.output, config.storage)
    try:
        # without run.json nothing says what stood there; the settings that were noted are compared all the same
        if not (accept.is_planned(store) and store.exists(RUN)):
            return config, {}
        return with_defaults_of(config, read_run(store))
    except OutputError:
        # whoever goes on with the output says what is wrong with it, and whoever takes it away need not know
        return config, {}


def with_defaults_of(config: AnyConfig, stored: Mapping[str, Any]) -> tuple[AnyConfig, dict[str, Any]]:
    """As `as_begun`, for an output whose run.json holds `stored`."""
    found = dict[str, Any]()
    if "configuration" not in stored:
        return config, found
    return _set_back(config, stored["configuration"], stored.get(SET_BACK, ()), "", found), found


def _set_back(value: Any, stored: Any, again: Collection[str], path: str, found: dict[str, Any]) -> Any:
    """`again` are the fields that were set back when the output was gone on with, so that it has them since."""
    stored = stored if isinstance(stored, Mapping) else {}
    if isinstance(value, Mapping):
        return {name: _set_back(item, stored.get(name), again, f"{path}{name}.", found) for name, item in value.items()}
    if not isinstance(value, BaseModel):
        return value
    changed: dict[str, Any] = {}
    for name, field in type(value).model_fields.items():
        item, extra, place = getattr(value, name), field.json_schema_extra, path + name
        if not isinstance(extra, dict) or BEFORE not in extra:
            changed[name] = _set_back(item, stored.get(name), again, f"{place}.", found)
            continue
        if field.is_required():
            continue  # what no default gives, as the constants of a preset, is compared
        of_before = name not in stored or place in again
        if of_before and field.default != extra[BEFORE] and item in (field.default, extra[BEFORE]):
            changed[name] = found[place] = extra[BEFORE]
    return value.model_copy(update=changed)
