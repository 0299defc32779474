"""F(r) by each of its rules, the failure rate, and the choice among candidates."""

from __future__ import annotations

import pytest

from evolve.method_search.failures import OPENINGS, best_candidate, failure_rule, score


@pytest.mark.parametrize("opening", OPENINGS)
def test_an_opening_and_a_question_mark_fail(opening: str) -> None:
    assert failure_rule(f"{opening}, shall I go on?") == "opening_question"
    assert failure_rule(f"\n {opening}, shall I go on?  \n") == "opening_question"


@pytest.mark.parametrize("opening", OPENINGS)
def test_an_opening_or_a_question_mark_alone_does_not_fail(opening: str) -> None:
    assert failure_rule(f"{opening}, here is the answer: 42.") is None
    assert failure_rule(f"{opening}, shall I? I do.") is None
    assert failure_rule(f"The answer. {opening}, shall I go on?") is None


def test_the_openings_are_those_of_the_paper() -> None:
    assert OPENINGS == ("Understood", "Thank you", "What", "That is correct", "Great")


def test_sure_and_a_question_mark_fail() -> None:
    assert failure_rule("Sure, which one?") == "sure_question"
    assert failure_rule("Sure, here it is.") is None
    assert failure_rule("I am Sure, but which one?") is None


@pytest.mark.parametrize("text", ["Could you please provide the text?", "Please provide the text.", "please provide"])
def test_please_provide_fails_anywhere(text: str) -> None:
    assert failure_rule(text) == "please_provide"


@pytest.mark.parametrize("text", ["", "Why?", "understood?", "Please, provided that it rains", "It is 42."])
def test_other_responses_do_not_fail(text: str) -> None:
    assert failure_rule(text) is None


def test_the_rate_counts_failed_rows_over_all_rows() -> None:
    measured = score(["please_provide", None, "sure_question", None, "please_provide", None, None, None])
    assert (measured.rate, measured.rows) == (3 / 8, 8)
    assert measured.failures == {"please_provide": 2, "sure_question": 1}
    assert (score([None]).rate, score(["empty"]).rate) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("current", "rates", "chosen"),
    [
        (0.5, [0.4, 0.2, 0.3], 1),
        (0.5, [0.4, 0.2, 0.2], 1),
        (0.5, [None, 0.4, None], 1),
        (0.5, [0.5, 0.6], None),
        (0.5, [None, None], None),
        (0.5, [], None),
        (0.0, [0.0], None),
    ],
)
def test_the_lowest_rate_counts_where_it_is_lower(
    current: float, rates: list[float | None], chosen: int | None
) -> None:
    assert best_candidate(current, rates) == chosen
