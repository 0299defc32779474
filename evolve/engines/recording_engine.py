"""An engine around another one that notes what each call cost, for whoever wants to know how fast the inner one is."""

from __future__ import annotations

import time
from typing import NamedTuple

from evolve.current_row import ROW
from evolve.engine import Engine
from evolve.records import Completion, Prompt


class Call(NamedTuple):
    """One completion: for which row, from when to when (seconds on one monotonic clock), and its tokens.

    A call that waits in the engine's queue has begun.
    """

    row: str
    began: float
    ended: float
    prompt_tokens: int
    completion_tokens: int

    @property
    def tokens(self) -> int:
        """Those read and those written."""
        return self.prompt_tokens + self.completion_tokens


class RecordingEngine:
    """Passes prompts on to `engine` and keeps a Call for each one that it completes, in the order of their ends."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.calls: list[Call] = []

    @property
    def max_concurrency(self) -> int | None:
        """The inner engine's."""
        return self._engine.max_concurrency

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt` with the inner engine; what that raises is raised, and leaves no Call."""
        began = time.monotonic()
        done = await self._engine.generate(prompt)
        self.calls.append(Call(ROW.get(), began, time.monotonic(), done.prompt_tokens, done.tokens_written))
        return done

    async def close(self) -> None:
        """Close the inner engine."""
        await self._engine.close()
