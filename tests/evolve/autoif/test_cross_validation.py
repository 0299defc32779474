"""Cross-validation on functions that run in the real sandbox, with results that can be counted by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from evolve.autoif.cross_validation import CrossValidated, cross_validate
from evolve.autoif.records import Case, Verification
from evolve.autoif.rules import AUTOIF_PAPER, OFFICIAL, PAPER, CrossValidation, Threshold
from evolve.errors import EvolveError
from evolve.sandbox import Sandbox

# "Answer in capitals", right, right with a helper beside it, and wrong in several ways.
RIGHT = "def evaluate(response): return response.isupper()"
HELPED = "def evaluate(response): return upper(response)\ndef upper(text): return text == text.upper() != text.lower()"
ALWAYS = "def evaluate(response): return True"
RAISES = "def evaluate(response): return response[100] == 'x'"
WORDS = "def evaluate(response): return 'true' if response.isupper() else 'false'"
SYNTAX = "def evaluate(response) return True"
CASES = (Case("YES", True), Case("no", False), Case("OK THEN", True), Case("Maybe", False), Case("", False))


def validate(box: Sandbox, functions: list[str], cases: tuple[Case, ...], rules: CrossValidation) -> CrossValidated:
    asked = [Verification(source, cases if index == 0 else ()) for index, source in enumerate(functions)]
    return cross_validate("Answer in capitals", asked, rules, box.check)


def reasons(result: CrossValidated) -> Counter[tuple[str, str]]:
    return Counter((item.kind, item.reason) for item in result.dropped)


def test_what_agrees_is_kept_and_the_rest_has_reasons(box: Sandbox) -> None:
    wrong = Case("shout", True)
    result = validate(
        box, [RIGHT, HELPED, "def evaluate(response): return False", SYNTAX], (*CASES, wrong), PAPER.cross_validation
    )
    assert result.kept
    assert {function.source: function.accuracy for function in result.functions} == {RIGHT: 1.0, HELPED: 1.0}
    assert result.cases == CASES
    assert reasons(result) == {("case", "agreement"): 1, ("function", "syntax"): 1, ("function", "accuracy"): 1}


def test_a_helper_beside_evaluate_is_found(box: Sandbox) -> None:
    """Running the source inside a function hides its helpers and makes every call a NameError."""
    assert validate(box, [HELPED], CASES, PAPER.cross_validation).functions[0].accuracy == 1.0


def test_a_function_that_answers_with_words_gives_no_verdict(box: Sandbox) -> None:
    result = validate(box, [WORDS], CASES, PAPER.cross_validation)
    assert result.reason == "no_case_kept"
    result = validate(box, [RIGHT, WORDS], CASES, PAPER.cross_validation)
    assert reasons(result) == {("function", "not_boolean"): 1}


def test_a_call_that_fails_agrees_with_nothing_not_even_with_false(box: Sandbox) -> None:
    result = validate(box, [RIGHT, RAISES], CASES, PAPER.cross_validation)
    assert reasons(result) == {("function", "exception"): 1}


def test_any_agreement_keeps_a_case_under_the_official_rule(box: Sandbox) -> None:
    wrong = Case("shout", True)
    cross = CrossValidation()
    result = validate(box, [RIGHT, HELPED, ALWAYS], (*CASES, wrong), cross)
    assert wrong in result.cases
    assert {function.source: function.accuracy for function in result.functions} == pytest.approx(
        {RIGHT: 5 / 6, HELPED: 5 / 6}
    )


def test_a_majority_is_needed_under_the_rule_of_the_autoif_paper(box: Sandbox) -> None:
    cross = AUTOIF_PAPER.cross_validation
    result = validate(box, [RIGHT, HELPED, ALWAYS], (*CASES, Case("shout", True)), cross)
    assert result.cases == CASES
    assert {function.source for function in result.functions} == {RIGHT, HELPED}
    # Two against two is no majority, and a function that is right half the time is not kept.
    never = "def evaluate(response): return False"
    halves = validate(box, [ALWAYS, never], (Case("YES", True), Case("no", False)), cross)
    assert halves.reason == "no_case_kept"


def test_the_official_minima_hold_after_duplicates_and_broken_functions(box: Sandbox) -> None:
    cross = OFFICIAL.cross_validation
    ten = tuple(Case("A" * number, True) for number in range(1, 11))
    assert validate(box, [RIGHT, HELPED, ALWAYS], ten, cross).kept
    assert validate(box, [RIGHT, HELPED, ALWAYS], ten[:9], cross).reason == "too_few_cases"
    assert validate(box, [RIGHT, HELPED, HELPED], ten, cross).reason == "too_few_functions"
    assert validate(box, [RIGHT, HELPED, SYNTAX], ten, cross).reason == "too_few_functions"
    nine_and_one_twice = (*ten[:9], ten[0])
    result = validate(box, [RIGHT, HELPED, ALWAYS], nine_and_one_twice, cross)
    assert reasons(result) == {("case", "duplicate"): 1, ("instruction", "too_few_cases"): 1}


def test_lines_with_forbidden_words_are_left_out(box: Sandbox) -> None:
    source = "import requests\nimport re\ndef evaluate(response):\n    # download\n    return response.isupper()"
    assert validate(box, [source], CASES[:2], PAPER.cross_validation).kept
    kept = validate(box, [source], CASES[:2], PAPER.cross_validation).functions[0].source
    assert "requests" not in kept
    assert "download" not in kept
    result = validate(box, [source], CASES[:2], AUTOIF_PAPER.cross_validation)
    assert reasons(result)["function", "import"] == 1


def test_nothing_in_nothing_out(box: Sandbox) -> None:
    assert cross_validate("x", [], PAPER.cross_validation, box.check).reason == "too_few_functions"
    assert validate(box, [RIGHT], (), PAPER.cross_validation).reason == "too_few_cases"


def test_the_same_input_with_both_outputs_is_two_cases(box: Sandbox) -> None:
    result = validate(box, [RIGHT], (Case("YES", True), Case("YES", False)), PAPER.cross_validation)
    assert result.cases == (Case("YES", True),)


@pytest.mark.slow
def test_a_hanging_function_does_not_harm_the_others(box: Sandbox) -> None:
    hanging = "def evaluate(response):\n    while True: pass"
    result = validate(box, [RIGHT, hanging], CASES[:2], PAPER.cross_validation)
    assert [function.source for function in result.functions] == [RIGHT]
    assert reasons(result) == {("function", "timeout"): 1}


def test_thresholds() -> None:
    assert Threshold(0.8).met(0.8)
    assert not Threshold(0.5, strict=True).met(0.5)
    with pytest.raises(EvolveError, match="min_functions"):
        CrossValidation(min_functions=0)
