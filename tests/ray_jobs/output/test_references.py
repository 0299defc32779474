"""Where a seed's own answer tells whether an answer is right."""

from __future__ import annotations

from typing import Any

import pytest

from evolve.choosing import Choice
from evolve.records import Answer, Rejected, Response, Usage
from ray_jobs.output.references import match, reference_of
from ray_jobs.output.several import candidates, choose_by_scores, settle_answers
from tests.ray_jobs.samples import kept_round

SEED = {"seed_output": "3 and 4 are 7.\n#### 7"}
CHAIN = [
    kept_round(1, 0, operator="concretise"),
    kept_round(2, 1, operator="deepen"),
    kept_round(3, 1, operator="concretise"),
]


@pytest.mark.parametrize(
    ("number", "kept_by", "reference"),
    [
        (1, ["concretise"], "7"),
        (2, ["concretise"], None),
        (3, ["concretise"], "7"),
        (2, ["concretise", "deepen"], "7"),
        (1, [], None),
    ],
)
def test_only_operators_that_keep_the_answer_leave_it_known(
    number: int, kept_by: list[str], reference: str | None
) -> None:
    assert reference_of(SEED | {"rounds": CHAIN}, CHAIN[number - 1], kept_by) == reference


def test_a_task_that_nothing_has_evolved_has_the_seeds_answer() -> None:
    assert reference_of(SEED, kept_round(0), ()) == "7"
    assert reference_of({"seed_output": None}, kept_round(0), ()) is None
    assert reference_of({"seed_output": "It depends."}, kept_round(0), ()) is None


def test_behind_a_round_that_was_left_out_nothing_is_known() -> None:
    assert reference_of(SEED | {"rounds": CHAIN[2:]}, CHAIN[2], ["concretise"]) is None


def test_an_answer_without_a_final_one_does_not_match() -> None:
    assert [match("7", text) for text in ("so 7.0", "8", "none")] == [1, 0, 0]


def test_each_of_several_is_checked_and_the_chosen_ones_is_the_records() -> None:
    item: dict[str, Any] = kept_round(0, output=None, answer_matches=None)
    answers: list[Answer] = [Response(text, "stop", Usage()) for text in ("8", "seven: 7", "7", "none")]
    answers.append(Rejected("truncated_response", "First, 7", finish_reason="length"))
    settle_answers(item, answers, Choice("agreement"), "7")
    assert (item["answer_matches"], item["output"], item["reference_match"]) == ([0, 1, 1, 0, None], "seven: 7", 1)
    settle_answers(item, answers, Choice("ifd"), "7")
    found = [answered | {"ifd": score} for answered, score in zip(candidates(item), (0.1, 0.3, 0.2, 0.4), strict=True)]
    choose_by_scores([item], found, Choice("ifd"))
    assert (item["output"], item["reference_match"]) == ("none", 0)
