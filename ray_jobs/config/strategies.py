"""The configuration of strategies and of the rules by which they turn evolutions down."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag

from evolve.strategies.elimination import Elimination
from ray_jobs.config.base import SamplingConfig, Strict, kind_or
from ray_jobs.config.secrets import Address


class EliminationConfig(Strict):
    """The elimination rules one by one; see evolve.strategies.elimination for what each does."""

    equal: bool = False
    leaked_words: bool = True
    truncated: bool = True
    unchanged: bool = True
    refusal: bool = True
    punctuation_only: bool = True
    leaked_reasoning: bool = Field(True, json_schema_extra={"before": False})


PRESETS = {"none": Elimination.none(), "rules": Elimination(), "wizardlm": Elimination.wizardlm()}
"""Elimination by name: `none` is the setting of arXiv 2412.11231, `rules` all but the judge, `wizardlm` all."""


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)}, or rules one by one")
    return asdict(PRESETS[value])


RulesConfig = Annotated[EliminationConfig, BeforeValidator(_preset)]


class EvolvingConfig(Strict):
    """What every strategy has. `elimination` is a preset's name or the rules one by one.

    With `forms` the judge of the rule `equal` can reply in no other words than the two that are read.
    """

    rounds: int = Field(1, ge=1, le=100)
    elimination: RulesConfig = EliminationConfig()
    templates: Path | None = None
    sampling: SamplingConfig = SamplingConfig()
    forms: bool = Field(True, json_schema_extra={"before": False})

    def rules(self) -> Elimination:
        """The rules that are on."""
        return Elimination(**self.elimination.model_dump())


class EvolInstructConfig(EvolvingConfig):
    """Evol-Instruct."""

    kind: Literal["evol_instruct"] = "evol_instruct"
    breadth: bool = True
    complicate_input: bool = False


class AutoEvolConfig(EvolvingConfig):
    """Auto Evol-Instruct. `method` is the path or URL of a saved method; without it the initial one is used.

    A URL of the same scheme as the output's is read with the run's `storage` options.
    """

    kind: Literal["auto_evol"]
    method: Address | None = None


StrategyConfig = Annotated[
    Annotated[EvolInstructConfig, Tag("evol_instruct")] | Annotated[AutoEvolConfig, Tag("auto_evol")],
    kind_or("evol_instruct"),
]
