"""One vLLM engine in a named Ray actor, for all pools of a test: each load of a model costs half a minute of a core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from evolve.engine import Engine
from evolve.records import Completion, Prompt
from ray_jobs.config.engine_kinds import EngineKind

NAMESPACE = "named_engines"


class NamedEngineConfig(EngineKind):
    """The engine in the actor `model`."""

    def build(self) -> Engine:
        """A way to it."""
        return _Named(self.model)


class _Named:
    max_concurrency = 8

    def __init__(self, name: str) -> None:
        self._actor = ray.get_actor(name, NAMESPACE)

    async def generate(self, prompt: Prompt) -> Completion:
        completion: Completion = await self._actor.generate.remote(prompt)
        return completion

    async def close(self) -> None:
        """It is everybody's."""


class _Holder:
    def __init__(self, engine: Mapping[str, Any]) -> None:
        from ray_jobs.config.engine_kinds import VllmConfig

        self._engine = VllmConfig.model_validate(engine).build()

    async def generate(self, prompt: Prompt) -> Completion:
        return await self._engine.generate(prompt)

    async def close(self) -> None:
        await self._engine.close()


@contextmanager
def named_engine(name: str, engine: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Load `engine`, and give the configuration by which pools of this Ray use it."""
    made = ray.remote(_Holder).options(name=name, namespace=NAMESPACE, num_cpus=1, max_concurrency=64)
    actor = made.remote(dict(engine))
    yield {"kind": "tests.ray_jobs.named_engine:NamedEngineConfig", "model": name}
    ray.get(actor.close.remote())
    ray.kill(actor)
