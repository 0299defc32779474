"""An engine of which one adapter is used, for those who share it with others."""

from __future__ import annotations

from dataclasses import replace

from evolve.engine import Engine
from evolve.records import Completion, Prompt


class AdaptedEngine:
    """`engine` under its `adapter`, "" for the bare model."""

    def __init__(self, engine: Engine, adapter: str) -> None:
        self._engine, self._adapter = engine, adapter

    @property
    def max_concurrency(self) -> int | None:
        """Those of the engine."""
        return self._engine.max_concurrency

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt` under the adapter."""
        return await self._engine.generate(replace(prompt, adapter=self._adapter))

    async def close(self) -> None:
        """Close the engine, for all who share it."""
        await self._engine.close()
