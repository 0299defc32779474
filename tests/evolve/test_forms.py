"""Which questions hold their replies to a form, and that every reply of such a form can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from random import Random
from typing import Any

import pytest

from evolve.autoif.nli import FORM as NLI_FORM
from evolve.autoif.nli import judge, parse_label
from evolve.autoif.quality import FORM as QUALITY_FORM
from evolve.autoif.quality import parse_score, score_quality
from evolve.autoif.templates import Templates
from evolve.autoif.verification import FORM as VERIFY_FORM
from evolve.autoif.verification import parse_verification, write_verifications
from evolve.judging.comparison import PLACE_FORM, Comparison
from evolve.judging.difficulty import LABEL_FORM, SCORE_FORM, label_question, read_label, read_score, score_question
from evolve.judging.records import Case, Side
from evolve.judging.verdicts import read_place
from evolve.records import Completion, Form, Instruction, Prompt, Sampling
from evolve.strategies.elimination import Elimination, judged_equal
from evolve.strategies.evol_instruct import IN_DEPTH, EvolInstruct
from evolve.strategies.rounds import EQUAL_FORM

SIDE = Side(Instruction("Count."), "1")
TEMPLATES = Templates.load()


def asked(flow: Generator[Prompt, Completion, Any]) -> Form | None:
    return next(flow).form


def test_judges_ask_for_a_form_where_forms_are_on() -> None:
    for forms in (True, False):
        rng, case = Random(0), Case(SIDE, SIDE)
        questions = [label_question(forms=forms), score_question(forms=forms), Comparison(forms=forms)]
        found = [asked(question.ask(case, rng)) for question in questions]
        assert found == ([LABEL_FORM, SCORE_FORM, PLACE_FORM] if forms else [None] * 3)
        steps = [
            asked(write_verifications("a", 1, TEMPLATES.verify, Sampling(), rng, forms)),
            asked(judge("a", "b", TEMPLATES.nli, rng, forms)),
            asked(score_quality("a", "b", "c", TEMPLATES.quality, rng, forms=forms)),
        ]
        assert steps == ([VERIFY_FORM, NLI_FORM, QUALITY_FORM] if forms else [None] * 3)


def test_a_form_is_part_of_a_questions_fingerprint_only_where_it_is_on() -> None:
    assert label_question().fingerprint() != label_question(forms=True).fingerprint()
    assert Comparison().fingerprint() != Comparison(forms=True).fingerprint()

    def strategy(rules: Elimination, forms: bool) -> str:
        return EvolInstruct(1, IN_DEPTH, Sampling(), rules, forms=forms).fingerprint()

    assert strategy(Elimination(), True) == strategy(Elimination(), False)
    assert strategy(Elimination.wizardlm(), True) != strategy(Elimination.wizardlm(), False)


def test_the_rule_equal_has_a_form() -> None:
    flow = EvolInstruct(1, IN_DEPTH, Sampling(), Elimination.wizardlm(), forms=True).evolve(SIDE.task, 0, Random(0))
    assert next(flow).form is None
    assert flow.send(Completion("Count to nine.", "stop", 1, 1)).form == EQUAL_FORM
    assert [judged_equal(choice) for choice in EQUAL_FORM.choices] == [True, False]


def test_every_reply_of_a_form_can_be_read() -> None:
    assert [read_label(label)["difficulty_level"] for label in LABEL_FORM.choices] == [1, 2, 3, 4, 5]  # type: ignore[index]
    for score in range(101):
        assert re.fullmatch(SCORE_FORM.pattern, f"Score: {score}")
        assert read_score(f"Score: {score}") == {"difficulty_score": score}
    assert not re.fullmatch(SCORE_FORM.pattern, "Score: 101")
    assert [read_place(place) for place in PLACE_FORM.choices] == ["A", "B", "TIE"]
    assert [parse_label(label) for label in NLI_FORM.choices] == ["entailment", "contradiction", "neutral"]
    assert [parse_score(f"Score: {score}") for score in range(1, 11)] == list(range(1, 11))
    assert all(re.fullmatch(QUALITY_FORM.pattern, f"Score: {score}") for score in range(1, 11))


def test_what_the_schema_asks_for_is_a_verification() -> None:
    schema = json.loads(VERIFY_FORM.schema)
    assert schema["required"] == ["func", "cases"]
    reply = json.dumps({"func": "def evaluate(response):\n    return True", "cases": [{"input": "a", "output": True}]})
    verification, dropped = parse_verification(reply)
    assert verification is not None
    assert (len(verification.cases), dropped) == (1, [])


@pytest.mark.parametrize("forms", [True, False])
def test_a_question_says_nothing_else_by_its_form(forms: bool) -> None:
    prompt = next(label_question(forms=forms).ask(Case(SIDE), Random(0)))
    assert prompt.messages == next(label_question().ask(Case(SIDE), Random(0))).messages
