"""Which settings change results. A run goes on only under the settings that it was begun with.

Every field counts unless it says otherwise, in its `json_schema_extra`: an output in which two settings are mixed is
worth less than an error.

- `"identity": False`: it says where and how fast, not what.
- `"identity": "inline"`: the fields of this group count as if they stood beside it.
- `"identity_without": [names]`: those of a mapping's settings do not count.
- `"before": value`: it came after the first version, and results are as they were without it at this value. There it is
  left out, so that an output which was begun before it goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ray_jobs.config.secret_names import FROM, concealed_setting, is_secret_name, shown_path

ABSENT = "nothing"
BY_VARIABLE = f".{FROM}"
Path = tuple[str, ...]


def result_settings(config: BaseModel) -> dict[str, Any]:
    """The settings that change results, by dotted path.

    Secrets are none of them: one under a name that tells it is left out, of another the variable's name remains.
    """
    settings = _counting((), config, config.model_dump(mode="json"))
    return {".".join(path): value for path, value in settings if not _is_secret(path)}


def fingerprint(settings: Mapping[str, Any]) -> str:
    """A digest of result settings; the run's id."""
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line a field that differs, such as "strategy.rounds: 2 before, 3 now".

    What may be secret is neither compared nor shown. Outputs of the first versions hold it among their settings.
    """
    before, now = _comparable(before), _comparable(now)
    unknown = _by_variable(before) ^ _by_variable(now)
    return [
        f"{shown_path([path])}: {_shown(before, path)} before, {_shown(now, path)} now"
        for path in sorted({*before, *now})
        if before.get(path, ABSENT) != now.get(path, ABSENT) and path.removesuffix(BY_VARIABLE) not in unknown
    ]


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without secrets."""
    return {path: concealed_setting((), value) for path, value in settings.items() if not _is_secret(path.split("."))}


def _by_variable(settings: Mapping[str, Any]) -> set[str]:
    """The arguments of engines that an environment variable gives, whose values nobody knows."""
    return {path.removesuffix(BY_VARIABLE) for path in settings if path.endswith(BY_VARIABLE) and ".arguments." in path}


def _is_secret(path: Sequence[str]) -> bool:
    """Whether an argument of an engine is secret by its name, or by that of a group in which it stands."""
    if "arguments" not in path:
        return False
    return any(is_secret_name(name) for name in path[path.index("arguments") + 1 :])


def _shown(settings: Mapping[str, Any], path: str) -> str:
    return json.dumps(settings[path]) if path in settings else ABSENT


def _counting(path: Path, value: Any, dumped: Any) -> Iterator[tuple[Path, Any]]:
    """The settings in `value` that change results, each as `dumped` has it."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            # what is never stored is not among what is dumped
            if name in dumped:
                yield from _of_field((*path, name), _marks(field), getattr(value, name), dumped[name])
    elif isinstance(dumped, dict):
        for key, item in dumped.items():
            yield from _counting((*path, key), value.get(key) if isinstance(value, Mapping) else None, item)
    else:
        yield path, dumped


def _of_field(path: Path, marks: Mapping[str, Any], value: Any, dumped: Any) -> Iterator[tuple[Path, Any]]:
    if marks.get("identity") is False or ("before" in marks and dumped == marks["before"]):
        return
    if marks.get("identity") == "inline":
        path = path[:-1]
    without = {(*path, name) for name in marks.get("identity_without", ())}
    yield from (setting for setting in _counting(path, value, dumped) if setting[0] not in without)


def _marks(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
