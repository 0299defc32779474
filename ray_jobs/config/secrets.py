"""Values of a configuration that may be secret: shown nowhere, stored nowhere, and read where they are used.

A `Secret` stands in the configuration as text or as {from: NAME}, which takes it from an environment variable of the
process that uses it. What is stored of it is a variable's name, so an output's run.json can be read by anyone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from evolve.masking import MASK, looks_secret, mask_url
from ray_jobs.config.secret_names import FROM, is_reference, is_secret_name, is_variable
from ray_jobs.errors import ConfigError

Checked = TypeVar("Checked")
_HARMLESS = re.compile(r"\d{0,3}|true|false|yes|no|on|off", re.IGNORECASE)
"""Values of the environment that keep no secret and are stored, so that `evolve retry-failed` has them."""


class Secret:
    """A text that neither str, repr, JSON nor a pydantic error shows."""

    def __init__(self, text: str | None = None, variable: str | None = None) -> None:
        """Give the text, or the name of the variable that holds it."""
        assert (text is None) != (variable is None)
        self._text, self.variable = text, variable

    @classmethod
    def read(cls, value: Any) -> Secret:
        """The secret that a configuration writes as text or as {from: NAME}. Raises ValueError."""
        if isinstance(value, Secret):
            return value
        if is_reference(value):
            return cls(variable=value[FROM])
        if not isinstance(value, str):
            raise ValueError("expected text, in quotes, or {from: NAME OF A VARIABLE}")
        if value == MASK:
            raise ValueError(f"{MASK} stands for a value that is not stored; expected the value or {{from: VARIABLE}}")
        return cls(value)

    def reveal(self) -> str:
        """The text. Raises ConfigError where this process's environment has no such variable."""
        if self._text is not None:
            return self._text
        assert self.variable is not None
        if self.variable not in os.environ:
            raise ConfigError(absent(self.variable))
        return os.environ[self.variable]

    def stored(self, name: str) -> Any:
        """What is stored of the setting `name`: {from: VARIABLE}, the variable named like the setting by default."""
        return {FROM: self.variable or re.sub(r"\W", "_", name)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._text, self.variable) == (other._text, other.variable)

    def __hash__(self) -> int:
        return hash((self._text, self.variable))

    def __repr__(self) -> str:
        return f"Secret({self})"

    def __str__(self) -> str:
        return f"{FROM} {self.variable}" if self.variable else MASK

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        serializer = core_schema.plain_serializer_function_ser_schema(str)
        return core_schema.no_info_plain_validator_function(cls.read, serialization=serializer)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        variable = {"type": "object", "properties": {FROM: {"type": "string"}}, "required": [FROM]}
        return {"anyOf": [{"type": "string"}, {**variable, "additionalProperties": False}]}


def absent(variable: str) -> str:
    """What is told where a variable is missing."""
    return f"there is no variable {variable} in this environment, which is to hold a value that is stored nowhere"


def _stored_environment(environment: Mapping[str, Secret]) -> dict[str, Any]:
    def stored(name: str, secret: Secret) -> Any:
        plain = None if secret.variable else secret.reveal()
        return plain if plain is not None and _HARMLESS.fullmatch(plain) else secret.stored(name)

    return {name: stored(name, secret) for name, secret in environment.items()}


def _hidden(value: Any, secret: bool = False) -> Any:
    """`value` with its secrets as such: texts and numbers under secret names, texts of a key's shape, {from: NAME}."""
    if isinstance(value, Secret) or is_reference(value):
        return Secret.read(value)
    if isinstance(value, Mapping):
        return {name: _hidden(item, secret or is_secret_name(str(name))) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item, secret) for item in value]
    if secret and isinstance(value, int | float) and not isinstance(value, bool):
        return Secret(str(value))
    if isinstance(value, str) and (secret or looks_secret(value) or mask_url(value) != value):
        return Secret.read(value)
    return value


def _stored_arguments(value: Any, name: str = "") -> Any:
    match value:
        case Secret():
            return value.stored(name.upper())
        case Mapping():
            return {key: _stored_arguments(item, str(key)) for key, item in value.items()}
        case list():
            return [_stored_arguments(item, name) for item in value]
        case _:
            return value


class Options(Mapping[str, Any]):
    """Options of a file system, any of which may be secret. Reading one reveals it; repr and JSON show the names."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._options = _hidden(options or {})

    @classmethod
    def read(cls, value: Any) -> Options:
        """Options that a configuration writes as a mapping. Raises ValueError."""
        if isinstance(value, Options):
            return value
        if not isinstance(value, Mapping):
            raise ValueError("expected a mapping such as {endpoint_url: http://127.0.0.1:9000}")
        if not all(isinstance(name, str) and name.isidentifier() for name in value):
            raise ValueError("expected names of options and their values, such as {key: …, secret: …}")
        return cls(value)

    def __getitem__(self, name: str) -> Any:
        return revealed(self._options[name], f"storage option {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __repr__(self) -> str:
        return f"Options({self.stored()})"

    def stored(self) -> dict[str, str]:
        """The names alone."""
        return dict.fromkeys(self, MASK)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        serializer = core_schema.plain_serializer_function_ser_schema(cls.stored)
        return core_schema.no_info_plain_validator_function(cls.read, serialization=serializer)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "object"}


def checked_url(value: Any) -> Secret:
    """A server's address. Raises ValueError."""
    secret = Secret.read(value)
    if secret.variable is None:
        url = secret.reveal()
        if not re.match(r"https?://[^\s/?#]+(?:[/?#]|$)", url):
            raise ValueError("expected a URL that begins with http:// or https:// and a host")
        if MASK in url:
            raise ValueError(f"{MASK} stands for what is not stored; expected the whole URL or {{from: VARIABLE}}")
    return secret


def _checked_urls(value: Any) -> Secret | tuple[Secret, ...]:
    return _one_or_several(checked_url, value, "a URL")


def stored_url(url: Secret) -> Any:
    """What is stored of it: the address without what may be secret in it, or the variable's name."""
    return url.stored("") if url.variable else mask_url(url.reveal())


def _stored_urls(urls: Secret | tuple[Secret, ...]) -> Any:
    return [stored_url(url) for url in urls] if isinstance(urls, tuple) else stored_url(urls)


def _checked_variable(name: Any) -> str:
    if not isinstance(name, str) or not is_variable(name):
        raise ValueError("expected the name of an environment variable, such as OPENAI_API_KEY, not a key itself")
    return name


def _checked_variables(value: Any) -> str | tuple[str, ...]:
    return _one_or_several(_checked_variable, value, "a name")


def _one_or_several(check: Callable[[Any], Checked], value: Any, what: str) -> Checked | tuple[Checked, ...]:
    if not isinstance(value, list | tuple):
        return check(value)
    checked = tuple(map(check, value))
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"expected {what}, or several, none of them twice")
    return checked


def _stored_variables(names: str | tuple[str, ...]) -> Any:
    return names if isinstance(names, str) else list(names)


VariableNames = Annotated[
    str | tuple[str, ...],
    PlainValidator(_checked_variables, json_schema_input_type=str | list[str]),
    PlainSerializer(_stored_variables),
]
"""The name of an environment variable, or several."""

Environment = Annotated[dict[str, Secret], PlainSerializer(_stored_environment)]
"""Variables of an actor's process. Of all but numbers and yes or no, run.json holds {from: NAME}."""

Arguments = Annotated[dict[str, Any], AfterValidator(_hidden), PlainSerializer(_stored_arguments)]
"""Arguments of an engine; those that may be secret become a `Secret`, which run.json holds as {from: NAME}."""

Urls = Annotated[
    Secret | tuple[Secret, ...],
    PlainValidator(_checked_urls, json_schema_input_type=Secret | list[Secret]),
    PlainSerializer(_stored_urls),
]
"""The address of a server, or several, stored without the passwords and tokens in them."""

Webhook = Annotated[Secret, BeforeValidator(checked_url), PlainSerializer(lambda url: url.stored("EVOLVE_NOTIFY"))]
"""The address of a webhook, the whole of which may be secret: run.json holds {from: NAME}."""

Address = Annotated[str, PlainSerializer(mask_url)]
"""A path or URL, stored without the passwords and tokens in it."""


def revealed(value: Any, place: str = "") -> Any:
    """`value` with the texts of its secrets, in the groups and lists in which they stand. Raises ConfigError."""
    match value:
        case Secret():
            try:
                return value.reveal()
            except ConfigError as error:
                raise ConfigError(f"{place}: {error}" if place else str(error)) from None
        case Options():
            return dict(value)
        case Mapping():
            return {name: revealed(item, f"{place}.{name}" if place else str(name)) for name, item in value.items()}
        case list() | tuple():
            return [revealed(item, place) for item in value]
        case _:
            return value


def secrets_in(value: Any) -> Iterator[tuple[str, Secret]]:
    """Every secret of a configuration, or of a part of one, with its dotted path; options of file systems are not."""
    match value:
        case Secret():
            yield "", value
        case Options():
            pass
        case BaseModel():
            yield from secrets_in({name: getattr(value, name) for name in type(value).model_fields})
        case Mapping():
            for name, item in value.items():
                for path, secret in secrets_in(item):
                    yield f"{name}.{path}".rstrip("."), secret
        case list() | tuple():
            for item in value:
                yield from secrets_in(item)


def known_secrets(value: Any) -> tuple[str, ...]:
    """The texts to look for in messages about a part of a configuration: its secrets, and the secret parts of URLs.

    Raises ConfigError where a variable is missing.
    """
    texts = [str(revealed(secret, path)) for path, secret in secrets_in(value)]
    # an address without a secret in it may be shown
    hidden = [text for text in texts if not text.startswith(("http://", "https://")) or mask_url(text) != text]
    return tuple(part for text in hidden for part in (text, *_parts(text)))


def _parts(text: str) -> Iterator[str]:
    """The user, password and values of the query of a URL."""
    if mask_url(text) == text:
        return
    with suppress(ValueError):
        url = urlsplit(text)
        yield from (unquote(part) for part in (url.password, url.username) if part)
        yield from (value for values in parse_qs(url.query).values() for value in values)
