"""Values of a configuration as they are given: on the command line, and by variables of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from ray_jobs.errors import ConfigError

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNFIT = (ValueError, ArithmeticError, AttributeError, LookupError, TypeError)
"""What PyYAML's constructors raise for a scalar that is not of the form by which they were chosen."""


class Loader(yaml.SafeLoader):
    """YAML in which what cannot be built is told by its place: 2024-13-45, or a list that holds itself."""

    def construct_object(self, node: yaml.Node, deep: bool = True) -> Any:  # noqa: ARG002
        """Raises yaml.YAMLError."""
        try:
            # at once with all that it holds: else what is nested in itself comes out as such
            return super().construct_object(node, deep=True)
        except _UNFIT:
            form = str(node.tag).rpartition(":")[2]
            problem = f"this looks like the form {form} and is none; put it in quotes where it is text"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def parsed(text: str, loader: type[Loader] = Loader) -> Any:
    """What a text in YAML holds. Raises yaml.YAMLError whatever is wrong with it."""
    with _yaml_errors():
        return yaml.load(text, loader)


@contextmanager
def _yaml_errors() -> Iterator[None]:
    """Raise as yaml.YAMLError what PyYAML lets through, without the text, which may hold keys."""
    try:
        yield
    except RecursionError:
        raise yaml.YAMLError("expected groups and lists that are a hundred deep at most") from None
    except _UNFIT:
        raise yaml.YAMLError("expected text in which YAML knows each escape and directive") from None


def given_value(text: str) -> Any:
    """A value of the command line, in YAML, in which # begins no comment, & no anchor, and line ends are kept.

    Raises yaml.YAMLError, and where something in quotes or brackets has a # behind it.
    """
    with _yaml_errors():
        node = yaml.compose(text, Loader)
    if node is None:
        return text.strip() or None
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    if plain and ("\n" in text.strip() or text.lstrip().startswith("&")):
        return text.strip()
    behind = text[node.end_mark.index :].strip()
    if not behind.startswith("#"):
        return parsed(text)
    if plain:
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
