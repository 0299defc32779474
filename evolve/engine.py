"""The seam between strategies and whatever completes their prompts."""

from __future__ import annotations

from typing import Protocol

from evolve.records import Completion, Prompt, Sampling

PROBE = Prompt.user("Hello", Sampling(temperature=0, max_tokens=1), seed=0)
"""What every engine that is in order completes."""


class Engine(Protocol):
    """Completes prompts. Many `generate` calls run at once on one event loop; the engine does its own batching."""

    @property
    def max_concurrency(self) -> int | None:
        """How many completions it works on at once, others waiting in its queue; None where it cannot tell."""
        ...

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`, as often as its `draws` says: one of several that failed leaves the others.

        Raises PromptRefused where this prompt can never be completed, EngineDied where no prompt can be.
        """
        ...

    async def close(self) -> None:
        """Free what the engine holds. Calling it twice does no harm."""
        ...
