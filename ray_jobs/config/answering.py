"""How instructions are answered: how often, and which of several answers is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, Self

from pydantic import Field, model_validator

from evolve.choosing import Choice, ChoiceRule
from evolve.prompts import Template
from evolve.strategies.elimination import Elimination
from evolve.strategies.respond import Responder
from ray_jobs.config.base import GreedyConfig, Strict

if TYPE_CHECKING:
    from collections.abc import Sequence

SCORED: Sequence[ChoiceRule] = ("reward", "ic_ifd", "ifd")
"""The rules that choose by what the scorer says of each answer."""
EITHER_END: Sequence[ChoiceRule] = ("ic_ifd", "ifd", "length")
"""The rules of which one may want the lowest as well."""
ResponsePrompt = Literal["bare", "paper"]
"""The template respond/NAME.txt: the task alone, or wrapped in a request for a full and right answer."""


class PairsConfig(Strict):
    """What the answer that is kept is preferred to: the worst of the others, or all, worse by `margin` at least."""

    against: Literal["worst", "all"] = Field("worst", json_schema_extra={"before": "worst"})
    margin: float = Field(0.0, ge=0, json_schema_extra={"before": 0.0})


class AnsweringConfig(Strict):
    """What every responder has. `prompt` is what the instructions are wrapped in.

    Of several `answers`, drawn in one request, the one is kept that has the highest score by the rule `choose`, or the
    lowest where `prefer` says so; of equal ones the first.
    """

    sampling: GreedyConfig = GreedyConfig()
    prompt: ResponsePrompt = Field("bare", json_schema_extra={"before": "bare"})
    answers: int = Field(1, ge=1, le=1024, json_schema_extra={"before": 1})
    choose: ChoiceRule | None = Field(None, json_schema_extra={"before": None})
    prefer: Literal["highest", "lowest"] = Field("highest", json_schema_extra={"before": "highest"})
    pairs: PairsConfig = PairsConfig()

    @model_validator(mode="after")
    def _several(self) -> Self:
        if self.answers == 1 and self.choose is not None:
            raise ValueError("answers: expected 2 or more beside choose")
        if self.answers == 1:
            return self
        if self.choose is None:
            raise ValueError("choose: expected a rule beside answers")
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature: expected more than 0 beside answers, for at 0 all are alike")
        if self.prefer == "lowest" and self.choose not in EITHER_END:
            raise ValueError(f"prefer: expected highest beside choose: {self.choose}")
        return self

    @property
    def choice(self) -> Choice | None:
        """The rule that chooses among several answers; None where there is one."""
        if self.choose is None:
            return None
        return Choice(self.choose, self.prefer, self.pairs.against, self.pairs.margin)

    def build(self, rules: Elimination, template: Template) -> Responder:
        """What turns an instruction into answers."""
        return Responder(self.sampling.build(), rules, template, self.answers)


class _Scorer(Protocol):
    def reward_model(self) -> str | None: ...


def check_choice(responder: AnsweringConfig, scorer: _Scorer | None) -> None:
    """Raise ValueError where the rule that chooses needs scores that the scorer does not give."""
    if responder.choose not in SCORED:
        return
    if scorer is None:
        raise ValueError(f"scorer: expected one beside responder.choose: {responder.choose}")
    if responder.choose == "reward" and scorer.reward_model() is None:
        raise ValueError("scorer.reward: expected a reward model beside responder.choose: reward")
