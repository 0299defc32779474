"""What a configuration that a client sends may not name, unless the operator allows it (`service.allow`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_jobs.config.secret_names import is_reference
from ray_jobs.service.answers import Refused
from ray_jobs.service.config import Allowances

OPERATORS = frozenset({"finish", "ray", "service"})
"""Settings that are the operator's alone."""
VARIABLES = frozenset({"api_key_env", "environment", "key_variable"})
PLACES = frozenset({"adapter", "chat_template", "file", "folder", "method", "model", "path", "template", "templates"})
CODE = frozenset({"trust_remote_code"})
ARGUMENTS = "arguments"
_ESCAPED, _VARIABLE = "$${", "${"
_LOCAL_SCHEMES = ("file:", "local:")
_NAME_CHARACTERS = 255
_PATHLIKE = re.compile(r"[/~.]")


def refuse(raw: Any, own: Any, allow: Allowances, path: Sequence[str] = ()) -> None:
    """Refuse what clients may not set, unless the service's `own` settings say the same. Raises Refused.

    What takes values from the environment passes only with all that stands beside it in `own`: a key may not be sent
    to an address that the operator did not write beside it.
    """
    if raw == own and not _from_environment(path, raw):
        return
    if problem := _problem(raw, allow, path):
        raise Refused(f"{'.'.join(path)}: {problem}")
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            inner = own.get(key) if isinstance(own, Mapping) else None
            refuse(value, inner, allow, (*path, str(key)))
    elif isinstance(raw, list | tuple):
        for number, value in enumerate(raw):
            refuse(value, None, allow, (*path, str(number)))


def _problem(raw: Any, allow: Allowances, path: Sequence[str]) -> str | None:
    name = path[-1] if path else ""
    empty = raw in (None, {}, [], ())
    if name in OPERATORS and not empty:
        return "is for the operator of this service to set"
    if name == "storage" and not (empty or allow.storage):
        return "is for the operator of this service to set"
    if not empty and not allow.environment and _from_environment(path, raw):
        return "takes values from the service's environment"
    if not allow.plugins and ((name in CODE and raw) or (name == "kind" and _is_code(raw))):
        return "names code"
    if not allow.paths and isinstance(raw, str) and (name in PLACES or ARGUMENTS in path) and _is_local(raw):
        return "names a place on the service's disk"
    return None


def _from_environment(path: Sequence[str], raw: Any) -> bool:
    """Whether a setting is a variable, or a text that holds one."""
    if isinstance(raw, str):
        return bool(path and path[-1] in VARIABLES) or _VARIABLE in raw.replace(_ESCAPED, "")
    return is_reference(raw) or bool(path and path[-1] in VARIABLES and raw)


def _is_code(kind: Any) -> bool:
    return isinstance(kind, str) and (":" in kind or "." in kind)


def _is_local(place: str) -> bool:
    if "://" in place:
        return place.startswith(_LOCAL_SCHEMES)
    if "\n" in place or len(place) > _NAME_CHARACTERS:
        return bool(_PATHLIKE.match(place)) and "\n" not in place
    return bool(_PATHLIKE.match(place)) or Path(place).exists()
