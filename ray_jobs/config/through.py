"""Engines that a service has loaded already, in the place of a run's own."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator

from evolve.engine import Engine
from ray_jobs.config.base import Strict
from ray_jobs.config.engine_kinds import OpenAIConfig
from ray_jobs.config.secrets import Secret, checked_url, revealed, stored_url

KEY = "EVOLVE_THROUGH_TOKEN"
"""The variable of an actor's process that holds the service's token."""

ServiceUrl = Annotated[Secret, PlainValidator(checked_url, json_schema_input_type=Secret), PlainSerializer(stored_url)]


class ThroughConfig(Strict):
    """A service (`evolve serve`) that has a run's models loaded: its engines are asked, and none is loaded for them.

    `url` is the service's, without a path; `token` is one of its tokens. `models` says under which name the service has
    the engine of which evolver, and of the responder as `respond`; others are loaded as ever. Left out, all
    engines that load a model are asked there, under the evolvers' own names. Results are those of the models: a run may
    go on with or without it.
    """

    url: ServiceUrl
    token: Secret
    models: dict[str, str] | None = None


class ServedEngine(OpenAIConfig):
    """The engine of a service, which has loaded `model` under the name `served`. Made by jobs."""

    kind: Literal["openai"] = "openai"
    served: str
    token: Secret
    api_key_env: str = KEY

    @property
    def asked(self) -> str:
        """The service's name for it."""
        return self.served

    def build(self) -> Engine:
        """A client of the service."""
        os.environ[KEY] = str(revealed(self.token, "through.token"))
        return super().build()


def served(config: ThroughConfig, model: str, name: str) -> ServedEngine:
    """The engine `name` of the service, which has loaded `model`."""
    base = str(revealed(config.url, "through.url")).rstrip("/")
    fields: dict[str, Any] = {"model": model, "served": name, "token": config.token, "url": Secret(f"{base}/v1")}
    return ServedEngine(**fields, reasoning="auto", reasoning_tokens=None)
