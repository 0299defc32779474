"""What all configuration is made of: the strict base, kinds, unions told apart by `kind`, how to draw completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, model_validator

from evolve.masking import mask_url
from evolve.records import Sampling

HARMLESS: dict[str, JsonValue] = {"identity": False}
"""Marks a field, as its `json_schema_extra`, that says where and how fast, not what (see config/identity.py)."""


class Strict(BaseModel):
    """The base of all configuration: frozen, and an unknown field is an error. Shows no passwords of URLs."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, _without_logins(value)


def _without_logins(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_without_logins, value))
    return mask_url(value) if isinstance(value, str) else value


class Kind(Strict):
    """What a registry finds by its name, `kind`: that of the shipped kinds or of an entry point, or "module:Class"."""

    kind: str

    @property
    def short_name(self) -> str:
        """The name, as a folder may have it."""
        return self.kind.rpartition(":")[2]


def kind_or(default: str) -> Discriminator:
    """Tell the members of a union by their `kind`, which may be left out for `default`."""

    def tag(value: Any) -> str:
        return str(value.get("kind", default) if isinstance(value, dict) else getattr(value, "kind", default))

    return Discriminator(tag)


MODEL = "model"
AS_THE_MODEL = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty")
"""The fields that may be null: as the model's generation_config says."""


class SamplingConfig(Strict):
    """How completions are drawn. The defaults are those of arXiv 2412.11231.

    null in a number's place means as the model's generation_config says; the word `model` in the place of all, or
    `defaults: model` beside some, means so for each that is not given. `extra` goes to the engine as it is.
    """

    temperature: float | None = Field(0.7, ge=0, le=2)
    top_p: float | None = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(2048, ge=1)
    stop: tuple[str, ...] = ()
    top_k: int | None = Field(0, ge=0, json_schema_extra={"before": 0})
    min_p: float | None = Field(0.0, ge=0, le=1, json_schema_extra={"before": 0.0})
    repetition_penalty: float | None = Field(1.0, gt=0, json_schema_extra={"before": 1.0})
    presence_penalty: float | None = Field(0.0, ge=-2, le=2, json_schema_extra={"before": 0.0})
    extra: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _as_the_model(cls, raw: Any) -> Any:
        if raw == MODEL:
            raw = {"defaults": MODEL}
        if not isinstance(raw, dict) or raw.get("defaults") != MODEL:
            return raw
        given = {name: value for name, value in raw.items() if name != "defaults"}
        return dict.fromkeys(AS_THE_MODEL) | given

    def build(self) -> Sampling:
        """The value that strategies use."""
        return Sampling(**self.model_dump())


class GreedyConfig(SamplingConfig):
    """Sampling of the responder: greedy, so that only the instructions differ (arXiv 2412.11231)."""

    temperature: float | None = Field(0.0, ge=0, le=2)
    top_p: float | None = Field(1.0, gt=0, le=1)
