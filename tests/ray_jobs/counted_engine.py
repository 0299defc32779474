"""vLLM that writes down what it is asked for, so that a test can see what is made a second time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from pydantic import Field

from evolve.engine import Engine
from evolve.records import Completion, Prompt
from ray_jobs.config.engine_kinds import HARMLESS, VllmConfig


class CountedVllm(VllmConfig):
    """A real engine that appends the digest of each prompt to a file `asked`, of each answered one to `answered`."""

    kind: str  # type: ignore[assignment]
    folder: Path = Field(json_schema_extra=HARMLESS)

    def build(self) -> Engine:
        """Load the model."""
        return _Counted(super().build(), self.folder)


class _Counted:
    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, prompt: Prompt) -> Completion:
        digest = hashlib.sha256(prompt.text.encode()).hexdigest()
        _append(self._folder / "asked", digest)
        completion = await self._engine.generate(prompt)
        _append(self._folder / "answered", digest)
        return completion


def _append(path: Path, line: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)
