"""What a configuration of AutoIF comes to before anything starts: rules, prompts, constraints, settings by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from evolve.autoif.rules import Rules
from evolve.autoif.templates import PLACEHOLDERS, Templates, load_constraints
from evolve.errors import EvolveError, SandboxError
from evolve.prompts import check_folder, shipped_names
from ray_jobs.config.identity import fingerprint, result_settings
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.autoif.config import AutoIFConfig, JudgeNliConfig
from ray_jobs.jobs.autoif.kit import Kit
from ray_jobs.jobs.autoif.stores import AUGMENT
from ray_jobs.jobs.earlier_defaults import as_begun
from ray_jobs.jobs.preflight import check_sampling, check_variables
from ray_jobs.storage.store import open_store

_FIRST = {"kind", "augment_calls", "instructions_a_call", "augment_sampling"}
_LAST = {
    "queries",
    "query_characters",
    "order",
    "responses",
    "respond_sampling",
    "keep_truncated",
    "leaked_reasoning",
    "response",
    "quality",
    "quality_tokens",
    "expected",
    "chosen",
    "rejected",
    "pair_side",
}
_TEMPLATE_PHASES = {"augment": 1, "verify": 2, "back_translate": 2, "nli": 2, "respond": 3, "quality": 3}
assert _TEMPLATE_PHASES.keys() == PLACEHOLDERS.keys()


@dataclass(frozen=True)
class Prepared:
    """A checked configuration, with its files read. `before` are constants that its preset does not have any more.

    `set_back` are other settings that have other defaults since the output was begun, by dotted path.
    """

    run: AutoIFConfig
    kit: Kit
    constraints: tuple[str, ...]
    before: Mapping[str, object]
    set_back: Mapping[str, Any]

    @property
    def rules(self) -> Rules:
        """The constants."""
        return self.kit.rules

    def settings(self, phase: int) -> dict[str, Any]:
        """The settings that change the results of phases 1 to `phase`, by dotted path."""
        settings = {
            path: value for path, value in result_settings(self.run).items() if self._phase_of(path.split(".")) <= phase
        }
        settings["strategy.constraints"] = fingerprint({"constraints": self.constraints})
        for name, number in _TEMPLATE_PHASES.items():
            if number <= phase:
                settings[f"strategy.templates.{name}"] = getattr(self.kit.templates, name).digest()
        return settings

    def _phase_of(self, path: list[str]) -> int:
        match path:
            case ["seed" | "evolvers", *_]:
                return 1
            case ["strategy", name, *_]:
                return 1 if name in _FIRST else 3 if name in _LAST else 2
            case ["nli", *_]:
                return 2
            case ["judge", *_]:
                return 2 if self.rules.nli and isinstance(self.run.nli, JudgeNliConfig) else 3
            case _:
                return 3


def prepare(run: AutoIFConfig, before: Mapping[str, object] = MappingProxyType({})) -> Prepared:
    """Check what needs no cluster, and read templates and constraints. Raises ConfigError."""
    run, set_back = as_begun(run, open_store(run.output, run.storage).below(AUGMENT))
    strategy = run.strategy
    try:
        if strategy.templates is not None:
            check_folder(strategy.templates, shipped_names())
        kit = Kit(
            strategy.build(),
            Templates.load(strategy.templates),
            run.seed,
            strategy.limits(),
            strategy.sandbox.required,
            strategy.sandbox.servers,
        )
        constraints = load_constraints(strategy.constraints)
    except EvolveError as error:
        raise ConfigError(f"strategy: {error}") from None
    check_variables(run)
    evolving = [evolver.engine for evolver in run.evolvers.values()]
    check_sampling("strategy.augment_sampling", strategy.augment_sampling, evolving)
    check_sampling("strategy.verify_sampling", strategy.verify_sampling, evolving)
    check_sampling("strategy.respond_sampling", strategy.respond_sampling, [run.responder.engine])
    return Prepared(run, kit, constraints, before, set_back)


def guards(kit: Kit) -> str:
    """The guards that are active on this machine, for people. Raises ConfigError where a required one is missing."""
    try:
        with kit.sandbox() as box:
            active = box.guards()
    except SandboxError as error:
        raise ConfigError(f"strategy.sandbox.allow_missing: {error}") from None
    return "; ".join(f"{protection} by {', '.join(names)}" for protection, names in sorted(active.items()))
