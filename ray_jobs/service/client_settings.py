"""What a configuration that a client sends may not name, unless the operator allows it (`service.allow`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_jobs.config.secret_names import is_reference
from ray_jobs.service.answers import Refused
from ray_jobs.service.config import Allowances

NOTHING = Allowances()
OPERATORS = frozenset({"finish", "notify", "ray", "service", "through", "trackers"})
"""Settings that are the operator's alone."""
SENT_ELSEWHERE = frozenset({"api_key_env", "environment", "key_variable", "url"})
"""Variables, and where what they hold would be sent."""
FILES = frozenset({"against", "decontaminate", "file", "folder", "method", "path", "source", "target"})
"""Settings that name places and nothing else, whatever stands there and whether or not there is anything."""
NAMES = frozenset({"adapter", "chat_template", "constraints", "model", "template", "templates"})
"""Settings that may name what lies on the service's disk by a name alone."""
TEXTS = frozenset({"stop", "system"})
CODE = frozenset({"trust_remote_code"})
ARGUMENTS = "arguments"
_ESCAPED, _VARIABLE = "$${", "${"
_NAME_CHARACTERS = 255
_PATHLIKE = re.compile(r"\s*([/~\\]|\.{1,2}/|[a-z]:\\)", re.IGNORECASE)
_URL = re.compile(r"\s*[a-z0-9+.-]+:[/:]", re.IGNORECASE)
_REMOTE = re.compile(r"\s*(s3a?|gc?s|az|abfss?|https?|hf)://(?!.*::)", re.IGNORECASE | re.DOTALL)
"""URLs that never end on a disk of the service's, as simplecache::/etc/passwd does."""
Problem = tuple[str, tuple[str, ...]]
"""What a setting names that clients may not, empty for nothing, and which of the Allowances together let it pass."""


def refuse(raw: Any, own: Any, path: Sequence[str] = (), allow: Allowances = NOTHING) -> None:
    """Refuse what clients may not set, unless it is allowed or the service's `own` settings say the same.

    What takes values from the environment passes only with all that stands beside it in `own`: a key may not be sent
    to an address that the operator did not write beside it. Raises Refused, naming the field.
    """
    if raw == own and not _from_environment(path, raw):
        return
    told, allowances = _problem(raw, path)
    if told and not (allowances and all(getattr(allow, name) for name in allowances)):
        named = ", ".join(f"service.allow.{name}" for name in allowances)
        raise Refused(f"{'.'.join(path)}: {told}{f' ({named})' if named else ''}")
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            refuse(value, own.get(key) if isinstance(own, Mapping) else None, (*path, str(key)), allow)
    elif isinstance(raw, list | tuple):
        for number, value in enumerate(raw):
            refuse(value, None, (*path, str(number)), allow)


def _problem(raw: Any, path: Sequence[str]) -> Problem:
    # what stands in a list is what the list is
    name = next((part for part in reversed(path) if not part.isdecimal()), "")
    if raw in (None, {}, [], (), False):
        return "", ()
    if name in OPERATORS:
        return "is for the operator of this service to set", ()
    if name == "storage":
        return "is for the operator of this service to set", ("storage",)
    if _from_environment(path, raw):
        return "takes values from the service's environment, or says where they go", ("environment",)
    if name in CODE or (name == "kind" and isinstance(raw, str) and (":" in raw or "." in raw)):
        return "names code", ("plugins",)
    if isinstance(raw, str) and (name in FILES or not _is_text(path, name, raw)):
        return _place(raw, name in FILES, name in NAMES or ARGUMENTS in path)
    return "", ()


def _from_environment(path: Sequence[str], raw: Any) -> bool:
    """Whether a setting is a variable, or a text that holds one."""
    if bool(path and path[-1] in SENT_ELSEWHERE and raw):
        return True
    return is_reference(raw) or (isinstance(raw, str) and _VARIABLE in raw.replace(_ESCAPED, ""))


def _is_text(path: Sequence[str], name: str, raw: str) -> bool:
    """Whether a setting is something to be read by a model."""
    return name in TEXTS or "templates" in path[:-1] or "\n" in raw


def _place(raw: str, is_file: bool, by_name: bool) -> Problem:
    """What a text names that is a URL or a path; `by_name` also where there is a file or folder of this name."""
    if _REMOTE.match(raw):
        return "names a URL, which the service would read with keys of its own", ("urls",)
    if _URL.match(raw):
        return "names a place, which the service would read with rights of its own", ("paths", "urls")
    if is_file or _PATHLIKE.match(raw) or (by_name and len(raw) <= _NAME_CHARACTERS and Path(raw).exists()):
        return "names a path, which the service would read with rights of its own", ("paths",)
    return "", ()
