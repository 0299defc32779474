"""What the vLLM of this machine knows, asked in a process of its own: importing it takes seconds and much memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from evolve.engines.reasoning import AUTO, NONE
from evolve.errors import SettingError


@dataclass(frozen=True)
class Build:
    """The fields of sampling that `extra` may hold, and the parsers of reasoning."""

    extra: tuple[str, ...]
    parsers: tuple[str, ...]

    def check_extra(self, names: Collection[str]) -> None:
        """Refuse a field of sampling that this build does not know. Raises SettingError."""
        for name in names:
            if name not in self.extra:
                raise SettingError(f"extra.{name}: vLLM knows no such field{_hint(name, self.extra)}")

    def check_parser(self, name: str) -> None:
        """Refuse a parser that this build does not have. Raises SettingError."""
        if name not in (AUTO, NONE, *self.parsers):
            known = ", ".join((AUTO, NONE, *self.parsers))
            raise SettingError(f"reasoning: vLLM has no parser {name}{_hint(name, self.parsers)} (allowed: {known})")


@cache
def vllm_build() -> Build | None:
    """The build of this machine; None where there is none, or one that cannot be asked."""
    if importlib.util.find_spec("vllm") is None:
        return None
    done = subprocess.run(
        [sys.executable, "-m", "evolve.engines.vllm_sampling"],
        env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return None
    told = json.loads(done.stdout.splitlines()[-1])
    return Build(tuple(told["extra"]), tuple(told["parsers"]))


def _hint(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""
