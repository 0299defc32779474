"""What the message of a wrong configuration says, field by field, for programs that call a command or the service."""

from __future__ import annotations

import re
from typing import Any

from ray_jobs.errors import ConfigError, JobError

_FIELD = r"--[a-z][a-z-]*|[a-z_]\w*(?:[.:][^\s:]+)*"
_LINE = re.compile(r"^  (?P<field>\S+): (?P<told>.*)$", re.MULTILINE)
_ALONE = re.compile(rf"^(?P<field>{_FIELD})(?P<given> [^:]*)?: (?P<told>.*)$", re.DOTALL)
_CAME = re.compile(r", got (?P<came>.*)$", re.DOTALL)
_FILES = (".yaml", ".yml", ".json")


def wrong_fields(error: JobError) -> list[dict[str, Any]]:
    """Each wrong field of an error: `field`, its dotted path or option; `came`, what stood there, or null; `allowed`.

    Empty where the error is no ConfigError, or one of no field, such as a file that cannot be read.
    """
    if not isinstance(error, ConfigError):
        return []
    text = str(error)
    if found := [_told(item["field"], item["told"]) for item in _LINE.finditer(text)]:
        return found
    alone = _ALONE.match(text)
    if alone is None or alone["field"].endswith(_FILES):
        return []
    option = alone["field"].startswith("--")
    if alone["given"] and not option:
        return []
    told = _told(alone["field"], alone["told"])
    return [told | ({"came": alone["given"].strip()} if alone["given"] else {})]


def _told(field: str, told: str) -> dict[str, Any]:
    came = _CAME.search(told)
    return {"field": field, "came": came["came"] if came else None, "allowed": _CAME.sub("", told)}
