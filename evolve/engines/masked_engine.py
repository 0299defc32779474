"""An engine whose errors repeat no secret: their messages end up in records, logs and reports."""

from __future__ import annotations

from collections.abc import Iterable

from evolve.engine import Engine
from evolve.masking import concealed
from evolve.records import Completion, Prompt


class MaskedEngine:
    """`engine`, with `secrets` masked in whatever it raises; see `masking.concealed`."""

    def __init__(self, engine: Engine, secrets: Iterable[str]) -> None:
        self._engine, self._secrets = engine, tuple(secrets)

    @property
    def max_concurrency(self) -> int | None:
        """Those of the engine."""
        return self._engine.max_concurrency

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`."""
        with concealed(self._secrets):
            return await self._engine.generate(prompt)

    async def close(self) -> None:
        """Close the engine."""
        with concealed(self._secrets):
            await self._engine.close()
