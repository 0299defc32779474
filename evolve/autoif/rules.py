"""AutoIF's constants, and the published sets of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from evolve.errors import EvolveError
from evolve.records import Sampling

Order = Literal["query_first", "constraint_first"]
"""How a record joins a query and its constraint: the constraint below the query, or the constraint as the instruction
and the query as its input."""
_VARIED = Sampling(temperature=0.7, top_p=0.95)
_GREEDY = Sampling(temperature=0.0, top_p=1.0)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value must reach `at_least`, or, where `strict`, exceed it."""

    at_least: float
    strict: bool = False

    def met(self, value: float) -> bool:
        """Whether `value` passes."""
        return value > self.at_least if self.strict else value >= self.at_least


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """When functions and cases confirm each other.

    `case`: the share of functions that agree with a case. `function`: the share of kept cases on which a function is
    right. `min_functions` and `min_cases` hold for what goes in, duplicates aside; at least one of each must
    come out. Lines of a function that hold a word of `drop_lines_with` are left out before it runs.
    """

    min_functions: int = 1
    min_cases: int = 1
    case: Threshold = Threshold(0.0, strict=True)
    function: Threshold = Threshold(0.8)
    drop_lines_with: tuple[str, ...] = ("download", "requests")

    def __post_init__(self) -> None:
        if self.min_functions < 1 or self.min_cases < 1:
            raise EvolveError("cross_validation: min_functions and min_cases must be at least 1")


@dataclass(frozen=True, slots=True)
class Rules:
    """Every constant of the pipeline. A count of 0, or None for a threshold, leaves that step out.

    `near_duplicate` is the similarity from which on a new instruction repeats an old one; None lets all but exact
    duplicates through. `order` is how records are written. `keep_truncated` keeps responses that were cut off at their
    token limit. `leaked_reasoning` rejects those that show marks of a model's thoughts. `forms` holds functions, cases,
    labels and scores to forms that can be read. `query_characters` bounds a query's length, both ends excluded.
    `response`: the mean accuracy over the functions that a response needs. `quality_tokens` is what the judge's reply
    about a response may have, its reasons included; with `expected` its probabilities are asked for. `chosen` and
    `rejected`: the mean accuracy of a DPO pair's two sides, `rejected` being the most it may have; up to `pair_side` of
    each a prompt.
    """

    augment_calls: int = 100
    instructions_a_call: int = 50
    near_duplicate: float | None = 0.8
    augment_sampling: Sampling = _VARIED
    replies: int = 8
    verify_sampling: Sampling = _VARIED
    check_seconds: float = 5.0
    cross_validation: CrossValidation = field(default_factory=CrossValidation)
    back_translations: int = 3
    nli: bool = True
    queries: int = 16
    query_characters: tuple[int, int] = (20, 300)
    order: Order = "query_first"
    responses: int = 8
    respond_sampling: Sampling = _VARIED
    keep_truncated: bool = False
    leaked_reasoning: bool = True
    forms: bool = True
    response: Threshold | None = Threshold(0.0, strict=True)
    quality: Threshold | None = Threshold(8, strict=True)
    quality_tokens: int = 256
    expected: bool = False
    chosen: Threshold = Threshold(0.5)
    rejected: float = 0.0
    pair_side: int = 2


PAPER = Rules(
    near_duplicate=None,
    order="constraint_first",
    keep_truncated=True,
    back_translations=0,
    nli=False,
    responses=1,
    respond_sampling=_GREEDY,
    response=None,
    quality=None,
    pair_side=0,
)
"""arXiv 2412.11231: the first four steps, every function and case welcome, one greedy answer, whole or cut off."""

PAPER_BEFORE = replace(PAPER, near_duplicate=0.8, order="query_first", keep_truncated=False)
"""What PAPER was in version 0.1: an output that was begun under it goes on under it."""

OFFICIAL = Rules(cross_validation=CrossValidation(min_functions=3, min_cases=10))
"""The constants of the code that came with AutoIF."""

AUTOIF_PAPER = Rules(
    cross_validation=CrossValidation(
        case=Threshold(0.5, strict=True), function=Threshold(0.5, strict=True), drop_lines_with=()
    ),
    response=Threshold(0.5, strict=True),
    quality=Threshold(8),
    chosen=Threshold(0.5, strict=True),
)
"""The constants in the text of arXiv 2406.13542."""

PRESETS: Mapping[str, Rules] = {
    "paper": PAPER,
    "official": OFFICIAL,
    "autoif_paper": AUTOIF_PAPER,
    "paper_0.1": PAPER_BEFORE,
}
