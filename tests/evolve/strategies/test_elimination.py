"""Every elimination rule, with texts that it rejects and texts that it lets pass."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from evolve.described import described
from evolve.records import Completion, FinishReason
from evolve.strategies.elimination import Elimination, judged_equal

PARENT = "Describe how crepes are made."
ALL = Elimination()


def reply(text: str, finish_reason: FinishReason = "stop") -> Completion:
    return Completion(text, finish_reason, 1, 1)


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_instruction_is_always_turned_down(text: str) -> None:
    assert Elimination.none().reject_instruction(reply(text), PARENT) == "empty"
    assert Elimination.none().reject_response(text) == "empty_response"


def test_an_instruction_cut_off_at_the_token_limit_is_truncated() -> None:
    assert ALL.reject_instruction(reply("Describe how to make", "length"), PARENT) == "truncated"
    assert ALL.reject_instruction(reply("Describe how to make"), PARENT) is None
    assert replace(ALL, truncated=False).reject_instruction(reply("Describe how to make", "length"), PARENT) is None


@pytest.mark.parametrize("text", [PARENT, f"  {PARENT}\n", PARENT.upper(), "Describe  how\ncrepes are made."])
def test_the_parent_again_is_unchanged(text: str) -> None:
    assert ALL.reject_instruction(reply(text), PARENT) == "unchanged"
    assert replace(ALL, unchanged=False).reject_instruction(reply(text), PARENT) is None


def test_another_text_is_not_unchanged() -> None:
    assert ALL.reject_instruction(reply("Describe how crepes are made"), PARENT) is None


@pytest.mark.parametrize(
    "text",
    [
        "Given Prompt: describe crepes",
        "#Rewritten Prompt#: describe crepes",
        "#Created Prompt#: describe pancakes",
        "Rewritten instruction: describe crepes and pancakes",
        "Harder version: describe crepes and pancakes",
        "Here is a brand-new task.",
    ],
)
def test_words_of_the_prompt_leak(text: str) -> None:
    assert ALL.reject_instruction(reply(text), PARENT) == "leaked_words"
    assert replace(ALL, leaked_words=False).reject_instruction(reply(text), PARENT) is None


def test_words_that_the_parent_already_holds_do_not_leak() -> None:
    assert ALL.reject_instruction(reply("Explain the given prompt in detail."), "Explain the given prompt.") is None


def test_ordinary_words_do_not_leak() -> None:
    assert ALL.reject_instruction(reply("Explain the rules for the offside trap."), "Explain football.") is None


@pytest.mark.parametrize("text", ["Sorry, I cannot do that.", "I'm SORRY.", "I am sorry" + " word" * 76])
def test_a_short_response_that_says_sorry_is_a_refusal(text: str) -> None:
    assert ALL.reject_response(text) == "refusal"
    assert replace(ALL, refusal=False).reject_response(text) is None


@pytest.mark.parametrize(
    "text", ["I am sorry" + " word" * 77, "A sorrysome tale.", "Crepes need flour, eggs and milk."]
)
def test_a_long_response_or_one_without_sorry_is_no_refusal(text: str) -> None:
    assert ALL.reject_response(text) is None


@pytest.mark.parametrize("text", ["...", "?!", "It is what it is.", "and - then; this.", "# **"])
def test_punctuation_and_stop_words_alone_are_no_response(text: str) -> None:
    assert ALL.reject_response(text) == "punctuation_only"
    assert replace(ALL, punctuation_only=False).reject_response(text) is None


@pytest.mark.parametrize("text", ["42", "It is Paris.", "π", "是的"])
def test_a_short_answer_with_one_real_word_stands(text: str) -> None:
    assert ALL.reject_response(text) is None


def test_none_has_every_rule_off_and_wizardlm_every_rule_on() -> None:
    for rule in fields(Elimination):
        assert getattr(Elimination.none(), rule.name) is False
        assert getattr(Elimination.wizardlm(), rule.name) is True


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        ("EQUAL", True),
        ("equal.", True),
        ("**EQUAL**", True),
        ("The tasks are equal", True),
        ("They are not different.", True),
        ("DIFFERENT", False),
        ("different", False),
        ("NOT EQUAL", False),
        ("They are not equal.", False),
        ("unequal", False),
        ("They share equality", False),
        ("DIFFERENT, not EQUAL", False),
        ("", False),
        ("Yes", False),
    ],
)
def test_the_verdict_of_the_judge(text: str, equal: bool) -> None:
    assert judged_equal(text) is equal


@pytest.mark.parametrize(
    "mark", ["<think>", "</THINK>", "<seed:think>", "[THINK]", "◁think▷", "<|channel|>", "<|start|>", "<thought>"]
)
def test_a_mark_of_thoughts_that_the_source_does_not_hold_is_caught(mark: str) -> None:
    text = f"Describe {mark} how crepes are made."
    assert ALL.reject_instruction(reply(text), PARENT) == "leaked_reasoning"
    assert ALL.reject_instruction(reply(text), f"What does {mark} mean?") is None
    assert ALL.reject_instruction(reply(text), PARENT, f"{mark} is given") is None
    assert Elimination.none().reject_instruction(reply(text), PARENT) is None
    assert ALL.reject_response(text, PARENT) == "leaked_reasoning"
    assert ALL.reject_response(text, f"What does {mark} mean?") is None
    assert replace(ALL, leaked_reasoning=False).reject_response(text, PARENT) is None


def test_the_rule_on_thoughts_shows_in_fingerprints_only_where_it_is_on() -> None:
    rules = "equal=False, leaked_words=True, truncated=True, unchanged=True, refusal=True, punctuation_only=True"
    before = replace(Elimination(), leaked_reasoning=False, truncated_response=False)
    assert described(before) == f"Elimination({rules})"
    assert described(replace(before, leaked_reasoning=True)) == f"Elimination({rules}, leaked_reasoning=True)"


def test_a_response_that_ran_into_its_limit_is_turned_down_and_not_in_the_papers_setting() -> None:
    text = "The Nile rises in the highlands of Burundi and"
    assert ALL.reject_response(text, PARENT, cut=True) == "truncated_response"
    assert ALL.reject_response(text, PARENT) is None
    assert Elimination.none().reject_response(text, PARENT, cut=True) is None
