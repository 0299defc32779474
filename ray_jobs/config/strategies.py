"""The configuration of strategies and of the rules by which they turn evolutions down."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from evolve.flow import Strategy
from evolve.strategies.auto_evol import AutoEvol
from evolve.strategies.elimination import Elimination
from evolve.strategies.evol_instruct import EvolInstruct, operator_order
from evolve.strategies.method import Method
from ray_jobs.config.base import HARMLESS, Kind, SamplingConfig, Strict
from ray_jobs.config.kinds import STRATEGIES
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
    truncated_response: bool = Field(True, json_schema_extra={"before": False})


PRESETS = {"none": Elimination.none(), "rules": Elimination(), "wizardlm": Elimination.wizardlm()}
"""Elimination by name: `none` is the setting of arXiv 2412.11231, `rules` all but the judge, `wizardlm` all."""


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)}, or rules one by one")
    return asdict(PRESETS[value])


_AsGiven = EliminationConfig | Literal["none", "rules", "wizardlm"]
RulesConfig = Annotated[EliminationConfig, BeforeValidator(_preset, json_schema_input_type=_AsGiven)]


def _source(value: Any) -> Any:
    texts = isinstance(value, dict) and all(isinstance(item, str) for pair in value.items() for item in pair)
    if value is None or texts or isinstance(value, str | Path):
        return value
    raise ValueError("expected a folder, or the texts of templates by name")


TemplatesConfig = Annotated[Path | dict[str, str] | None, BeforeValidator(_source)]


Operator = Literal["add_constraint", "deepen", "concretise", "reasoning", "complicate_input", "breadth"]


class StrategyKind(Kind):
    """What stands under `strategy`. `run_config` is "module:Class", the configuration of a whole run of this kind."""

    run_config: ClassVar[str]


class EvolvingConfig(StrategyKind):
    """What every strategy of the pipeline has. `elimination` is a preset's name or the rules one by one.

    With `forms` the judge of the rule `equal` can reply in no other words than the two that are read. `templates` is a
    folder of prompts that replace the shipped ones, or the texts themselves by name, such as `evol_instruct/deepen`.
    `own_templates` is a folder of templates that the kind brings along, which those of `templates` may replace.
    """

    rounds: int = Field(1, ge=1, le=100)
    elimination: RulesConfig = EliminationConfig()
    templates: TemplatesConfig = Field(None, json_schema_extra=HARMLESS)
    sampling: SamplingConfig = SamplingConfig()
    forms: bool = Field(True, json_schema_extra={"before": False})
    run_config: ClassVar[str] = "ray_jobs.jobs.finish_config:FinishingRunConfig"
    own_templates: ClassVar[Path | None] = None

    @abstractmethod
    def build(self, method: Method | None = None) -> Strategy:
        """The strategy with its templates read and checked; `method` is what `saved_method` names.

        Raises TemplateError.
        """

    def saved_method(self) -> str | None:
        """The path or URL of a saved method that `build` is to be given."""
        return None

    def answer_kept(self) -> frozenset[str]:
        """The operators whose tasks have the answer of the task that they were made from."""
        return frozenset()

    def rules(self) -> Elimination:
        """The rules that are on."""
        return Elimination(**self.elimination.model_dump())


class EvolInstructConfig(EvolvingConfig):
    """Evol-Instruct. `same_answer` are operators whose `templates` ask for a task with the answer of the given one."""

    kind: Literal["evol_instruct"] = "evol_instruct"
    breadth: bool = True
    complicate_input: bool = False
    same_answer: tuple[Operator, ...] | None = Field(None, json_schema_extra={"before": None})

    def answer_kept(self) -> frozenset[str]:
        """As configured."""
        return frozenset(self.same_answer or ())

    def build(self, method: Method | None = None) -> Strategy:  # noqa: ARG002 (it has none)
        """The operators that are on."""
        operators = operator_order(self.breadth, self.complicate_input)
        return EvolInstruct(self.rounds, operators, self.sampling.build(), self.rules(), self.templates, self.forms)


class AutoEvolConfig(EvolvingConfig):
    """Auto Evol-Instruct. `method` is the path or URL of a saved method; without it the initial one is used.

    A URL of the same scheme as the output's is read with the run's `storage` options.
    """

    kind: Literal["auto_evol"]
    method: Address | None = Field(None, json_schema_extra=HARMLESS)

    def build(self, method: Method | None = None) -> Strategy:
        """With the saved method, or the initial one."""
        template = method.template() if method else None
        return AutoEvol(self.rounds, self.sampling.build(), self.rules(), self.templates, template, self.forms)

    def saved_method(self) -> str | None:
        """The configured one."""
        return self.method


StrategyConfig = Annotated[EvolvingConfig, STRATEGIES]
"""A field that holds a strategy of any kind."""
