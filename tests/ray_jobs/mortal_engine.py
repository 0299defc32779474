"""vLLM whose engine process is killed whenever a marked prompt is given to it, as a fault of a driver would kill it."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil

from evolve.engine import Engine
from evolve.records import Completion, Prompt
from ray_jobs.config.engine_kinds import VllmConfig

MARK = "deadly"


class MortalVllm(VllmConfig):
    """A real engine, and a real death."""

    kind: str  # type: ignore[assignment]

    def build(self) -> Engine:
        """Load the model, and note which processes came with it."""
        before = set(_children())
        return _Mortal(super().build(), set(_children()) - before)


class _Mortal:
    def __init__(self, engine: Engine, processes: set[int]) -> None:
        self._engine, self._processes = engine, processes
        assert processes, "vLLM runs its engine in a process of its own"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, prompt: Prompt) -> Completion:
        if MARK in prompt.text:
            for process in self._processes:
                os.kill(process, signal.SIGKILL)
        return await self._engine.generate(prompt)


def _children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]
