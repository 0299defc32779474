"""What the vLLM of this machine knows, asked in a process of its own: importing it takes seconds and much memory."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from evolve.engines.reasoning import AUTO, NONE
from evolve.errors import SettingError


@dataclass(frozen=True)
class Build:
    """The fields of sampling that `extra` may hold, the parsers of reasoning, and what forms may be.

    `forms` are the fields of a request's form, `settings` those of the engine's `structured_outputs_config`, `backends`
    what may hold replies to forms.
    """

    extra: tuple[str, ...]
    parsers: tuple[str, ...]
    forms: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()

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

    def check_form(self, place: str, form: Mapping[str, Any]) -> None:
        """Refuse a form of a request that this build cannot use. Raises SettingError, naming `place`."""
        _check_names(place, form, self.forms)
        if fault := _fault(json.dumps(form, sort_keys=True)):
            raise SettingError(f"{place}: vLLM cannot use this form: {' '.join(fault.split())}")

    def check_settings(self, place: str, settings: Mapping[str, Any]) -> None:
        """Refuse an engine's settings of forms that this build does not know. Raises SettingError, naming `place`."""
        _check_names(place, settings, self.settings)
        backend = settings.get("backend", "auto")
        if backend not in self.backends:
            known = ", ".join(self.backends)
            raise SettingError(f"{place}.backend: vLLM has no {backend} on this machine (allowed: {known})")


@cache
def vllm_build() -> Build | None:
    """The build of this machine; None where there is none, or one that cannot be asked."""
    if importlib.util.find_spec("vllm") is None:
        return None
    told = _asked()
    return Build(**{name: tuple(items) for name, items in told.items()}) if told else None


@cache
def engine_arguments() -> frozenset[str]:
    """The arguments that vLLM's engine takes, read from its source, which is not run; none where they are not found."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        return frozenset()
    source = Path(found.origin).parent / "engine" / "arg_utils.py"
    try:
        module = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return frozenset()
    return frozenset(
        field.target.id
        for item in module.body
        if isinstance(item, ast.ClassDef) and item.name in ("EngineArgs", "AsyncEngineArgs")
        for field in item.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    )


def check_arguments(names: Collection[str]) -> None:
    """Refuse an argument that the engine of this machine's vLLM does not take. Raises SettingError."""
    known = engine_arguments()
    for name in names:
        if known and name not in known:
            raise SettingError(f"arguments.{name}: vLLM's engine takes no such argument{_hint(name, known)}")


@cache
def _fault(form: str) -> str | None:
    fault: str | None = _asked(form)
    return fault


def _asked(*arguments: str) -> Any:
    """What the program says; None where it cannot be run."""
    done = subprocess.run(
        [sys.executable, "-m", "evolve.engines.vllm_sampling", *arguments],
        env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode else json.loads(done.stdout.splitlines()[-1])


def _check_names(place: str, given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise SettingError(
                f"{place}.{name}: vLLM knows no such field{_hint(name, known)} (allowed: {', '.join(known)})"
            )


def _hint(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""
