"""Reading a configuration: YAML, `--set` overrides, and errors that say which field, what came and what is allowed."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from evolve.masking import MASK, mask_text
from ray_jobs.config.registered import UNKNOWN_KIND, ConfigRegistry
from ray_jobs.config.secret_names import concealed_setting, plain_name, shown_name, shown_path
from ray_jobs.config.secrets import Options
from ray_jobs.config.values import Loader, given_value, parsed, with_variables
from ray_jobs.errors import ConfigError

AnyConfig = TypeVar("AnyConfig", bound=BaseModel)
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")


def read_config(
    model: type[AnyConfig], path: Path, overrides: Sequence[str] = (), output: str | None = None
) -> AnyConfig:
    """Read the file at `path` and check it against `model`.

    `overrides` are "dotted.path=value" with YAML values, applied in order; `output` replaces the configured one.
    `${NAME}` in a text is a variable of the environment. Raises ConfigError with one line a wrong field.
    """
    return validated(model, read_raw(path, overrides, output), str(path))


def overridden(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`raw`, changed in place by "dotted.path=value" with YAML values; then with its variables. Raises ConfigError."""
    for override in overrides:
        replace_setting(raw, override)
    return with_variables(raw)


def validated(model: type[AnyConfig], raw: Mapping[str, Any], source: str) -> AnyConfig:
    """`raw` as a configuration. Raises ConfigError, naming `source`, with one line a wrong field."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(detail, model, raw)}" for detail in error.errors())
        raise ConfigError(f"{source}: the configuration is wrong\n{lines}") from None


def parse_storage(text: str | None) -> dict[str, Any]:
    """Storage options from the command line, a YAML mapping. Raises ConfigError where it is none.

    {from: NAME} in place of a value takes it from the environment. No message repeats the text, which may hold keys.
    """
    try:
        options = parsed(text) if text else {}
    except yaml.YAMLError as error:
        raise ConfigError(f"--storage: is not YAML: {_yaml_problem(error)}") from None
    try:
        return dict(Options.read(options))
    except ValueError as error:
        raise ConfigError(f"--storage: {error}") from None


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong with a text and where, without the text: the lines that YAML quotes may hold keys."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error)
    problem = "\n  ".join(_QUOTED.sub(_unquoted, part) for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    return f"{problem}\n  in line {mark.line + 1}, column {mark.column + 1}" if mark else problem


def _unquoted(found: re.Match[str]) -> str:
    """What YAML quotes, if it is a single character or one of its own words for what it has found."""
    quoted = found[0][1:-1]
    return found[0] if len(quoted) < 2 or quoted.startswith("<") else f"'{MASK}'"


class _Loader(Loader):
    """YAML in which a name that stands twice in one group is an error, not the end of the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[Any]()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"{plain_name(str(key.value))} stands here twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_raw(path: Path, overrides: Sequence[str] = (), output: str | None = None) -> dict[str, Any]:
    """The settings in the file at `path` with what replaces them, as `read_config` takes them; not checked yet."""
    raw = overridden(read_settings(path), overrides)
    if output is not None:
        raw["output"] = output
    return raw


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a YAML file. Raises ConfigError where it cannot be read or holds something else."""
    try:
        raw = parsed(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, got a byte that is not, at position {error.start}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {_yaml_problem(error)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {type(raw).__name__}")
    return raw


def replace_setting(raw: dict[str, Any], override: str) -> None:
    """Apply one "dotted.path=value" to a configuration that is not checked yet. Raises ConfigError where it is none."""
    path, equals, value = override.partition("=")
    named = f"--set {shown_name(path)}"
    if not equals or not path:
        raise ConfigError(f"{named}: expected dotted.path=value, such as strategy.rounds=3")
    place, parts = raw, path.split(".")
    while len(parts) > 1:
        parent = _known_name(place, parts)
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{named}: {shown_name(parent)} is not a group of settings")
        place, parts = inner, parts[parent.count(".") + 1 :]
    try:
        place[parts[0]] = given_value(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"{named}: the value is not YAML: {_yaml_problem(error)}") from None


def _known_name(place: dict[str, Any], parts: Sequence[str]) -> str:
    """The first name in a dotted path. An evolver's name may itself hold dots: the longest one that exists counts."""
    names = (".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
    return next((name for name in names if name in place), parts[0])


def _explain(detail: ErrorDetails, model: type[BaseModel], raw: Mapping[str, Any]) -> str:
    path, allowed = _locate(detail["loc"], model, raw)
    place = shown_path(path) or "the whole"
    got = f"got {_shortened(concealed_setting(path, detail['input']))}"
    match detail["type"]:
        case "missing":
            return f"{place}: is missing"
        case "extra_forbidden":
            near = get_close_matches(path[-1], allowed, 1, 0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"{place}: unknown field{hint} (allowed: {', '.join(allowed)})"
        case "union_tag_invalid":
            context = detail["ctx"]
            return f"{place}.kind: expected one of {context['expected_tags']}, got {mask_text(context['tag'])!r}"
        case _ if detail["type"] == UNKNOWN_KIND:
            return f"{place}.kind: {detail['ctx']['told']}"
        case "model_type" | "dict_type":
            return f"{place}: expected a group of settings, {got}"
        case "too_short":
            return f"{place}: expected at least {detail['ctx']['min_length']}, {got}"
        case "tuple_type":
            return f"{place}: expected a list, {got}"
        case _:
            return f"{place}: {detail['msg'].removeprefix('Value error, ')}, {got}"


def _locate(loc: Sequence[int | str], model: type[BaseModel], raw: Any) -> tuple[list[str], list[str]]:
    """The dotted path of a place in the configuration `raw`, and the fields allowed where its last part stands.

    Pydantic's places also name the chosen member of a union, and a mapping's key as "[key]": no part of what a user
    writes.
    """
    path, allowed = list[str](), list[str]()
    annotation: Any = model
    for part in map(str, loc):
        models = {_kind(model): model for model in _models(annotation, raw)}
        if len(models) > 1 and part in models:
            annotation = models[part]
            continue
        if part == "[key]" or (not models and _is_union(annotation)):
            continue
        path.append(part)
        raw = _inside(raw, part)
        if typing.get_origin(annotation) is tuple:
            annotation = typing.get_args(annotation)[0]
            continue
        fields = {name: field for model in models.values() for name, field in model.model_fields.items()}
        keyed = typing.get_origin(annotation) is dict
        allowed = [] if keyed else sorted(fields)
        annotation = typing.get_args(annotation)[1] if keyed else _annotation(fields.get(part))
    return path, allowed


def _inside(raw: Any, part: str) -> Any:
    if isinstance(raw, Mapping):
        return raw.get(part)
    return raw[int(part)] if isinstance(raw, list | tuple) and part.isdecimal() and int(part) < len(raw) else None


def _annotation(field: FieldInfo | None) -> Any:
    """A field's annotation, with the registry that finds what stands there, if one does."""
    registry = next((item for item in field.metadata if isinstance(item, ConfigRegistry)), None) if field else None
    if field is None or registry is None:
        return field.annotation if field else None
    return Annotated[field.annotation, registry]


def _kind(model: type[BaseModel]) -> str:
    kind = model.model_fields.get("kind")
    names = typing.get_args(kind.annotation) if kind else ()
    return str(names[0]) if names else model.__name__


def _models(annotation: Any, raw: Any) -> Iterable[type[BaseModel]]:
    """The models that a field's annotation admits; where a registry finds them, the one for `raw`."""
    for item in getattr(annotation, "__metadata__", ()):
        if isinstance(item, ConfigRegistry):
            chosen = item.chosen(raw)
            yield from [chosen] if chosen else []
            return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif _is_union(annotation) or typing.get_origin(annotation) is typing.Annotated:
        for inner in typing.get_args(annotation):
            yield from _models(inner, raw)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
