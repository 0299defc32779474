"""Fields whose `kind` says which configuration stands there, looked up in a registry when it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from evolve.errors import EvolveError
from ray_jobs.config.base import Kind
from ray_jobs.config.registry import Registry, UnknownKind, raised_at
from ray_jobs.errors import ConfigError, JobError

UNKNOWN_KIND = "unknown_kind"
"""The type of pydantic's error for a kind that there is not; its context has `told`."""

_UNDER = "kinds_under"
"""Where a field's schema keeps the class under which all that may stand there are."""


class ConfigRegistry(Registry[type[Kind]]):
    """Kinds that are configurations. `Annotated[Base, registry]` is a field that may hold any of them.

    Such a field is checked by the class that its `kind` names, whose errors stand as if the field were of that class;
    it is dumped with all fields of that class, and reads back. Kinds of `beside` may stand there too.
    """

    def __init__(
        self,
        what: str,
        wanted: str,
        shipped: Mapping[str, str],
        default: str = "",
        beside: Sequence[ConfigRegistry] = (),
    ) -> None:
        super().__init__(what, wanted, shipped, default, classes=True)
        self._beside = beside

    def names(self) -> list[str]:
        """All names, those of `beside` first."""
        return [*(name for other in self._beside for name in other.names()), *super().names()]

    def find(self, name: object) -> type[Kind]:
        """The class of this name, here or beside. Raises as a Registry does."""
        for other in self._beside:
            if isinstance(name, str) and (":" in name or name in other.names()):
                return other.find(name)
        return super().find(name)

    def chosen(self, value: Any) -> type[Kind] | None:
        """The class of a field that holds `value`, read or still to be read; None where that does not tell it."""
        if isinstance(value, Kind):
            return type(value)
        try:
            return self.find(value.get("kind", self.default)) if isinstance(value, Mapping) else None
        except UnknownKind:
            return None

    def __get_pydantic_core_schema__(self, source: type[Kind], handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, otherwise: Callable[[Any], Any]) -> Any:
            # one of the kinds itself; or something else, which is told as for every group of settings
            return self._read(value, source) if isinstance(value, Mapping) else otherwise(value)

        return core_schema.no_info_wrap_validator_function(
            read,
            handler(source),
            serialization=core_schema.simple_ser_schema("any"),
            metadata={_UNDER: source},
        )

    def _read(self, value: Mapping[str, Any], under: type[Kind]) -> Kind:
        name = value.get("kind", self.default)
        try:
            found = self.find(name)
        except UnknownKind as error:
            raise PydanticCustomError(UNKNOWN_KIND, "{told}", {"told": str(error)}) from None
        if not issubclass(found, under):
            raise PydanticCustomError(
                UNKNOWN_KIND, "{told}", {"told": f"{name} does not go with what stands beside it"}
            )
        with naming(found, str(name)):
            return found.model_validate({**value, "kind": name})

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        under = schema["metadata"][_UNDER]
        found = {name: self.find(name) for name in self.names()}
        named = [
            self._named(name, handler(kind.__pydantic_core_schema__))
            for name, kind in found.items()
            if issubclass(kind, under)
        ]
        elsewhere = {"type": "object", "properties": {"kind": {"type": "string", "pattern": ":"}}, "required": ["kind"]}
        return {"anyOf": [*named, elsewhere]}

    def _named(self, name: str, schema: JsonSchemaValue) -> JsonSchemaValue:
        told: JsonSchemaValue = {"properties": {"kind": {"const": name}}}
        return {"allOf": [schema, told if name == self.default else {**told, "required": ["kind"]}]}


@contextmanager
def naming(kind: type[Kind], name: str) -> Iterator[None]:
    """Where code of a kind runs before anything is started: what it raises beside our own errors names the kind.

    Raises ConfigError.
    """
    try:
        yield
    except (EvolveError, JobError, ValidationError):
        raise
    except Exception as error:  # whatever a plug-in's own code raises
        if kind.__module__.startswith("ray_jobs."):
            raise
        told = f"{type(error).__name__}: {error}{raised_at(error)}"
        raise ConfigError(f"kind {name} ({kind.__module__}): cannot be used: {told}") from error
