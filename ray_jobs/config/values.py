"""Values of a configuration as they are given: on the command line, and by variables of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import yaml

from ray_jobs.errors import ConfigError

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def given_value(text: str) -> Any:
    """A value of the command line, in YAML, in which # begins no comment: "hash #1.jsonl" is a text.

    Raises yaml.YAMLError, and where something in quotes or brackets has a # behind it.
    """
    node = yaml.compose(text, yaml.SafeLoader)
    if node is None:
        return text.strip() or None
    behind = text[node.end_mark.index :].strip()
    if not behind.startswith("#"):
        return yaml.safe_load(text)
    if isinstance(node, yaml.ScalarNode) and node.style is None:
        return text.strip()
    raise yaml.YAMLError(f"expected nothing behind the value, found {behind!r}")


def with_variables(raw: dict[str, Any], environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """`raw` with each `${NAME}` in its texts replaced by that variable of the environment; `$${` stands for `${`.

    Raises ConfigError, naming the field, where there is no such variable.
    """
    return {name: _replaced(value, str(name), environment) for name, value in raw.items()}


def _replaced(value: Any, place: str, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item, f"{place}.{name}", known) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, f"{place}.{index}", known) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "${"
        if _NAME.fullmatch(name) is None or not match[0].endswith("}"):
            raise ConfigError(f"{place}: expected a variable as in ${{NAME}}, got {match[0]}; $${{ means ${{")
        if name not in known:
            raise ConfigError(f"{place}: the environment has no variable {name}, which ${{{name}}} asks for")
        return known[name]

    return _VARIABLE.sub(variable, value)
