"""Answers: the user turn, and how each ends."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from evolve.elimination import Elimination
from evolve.flow import drive
from evolve.records import Answer, Failed, Instruction, Prompt, Rejected, Response
from evolve.respond import GREEDY, Responder, question
from evolve.scripted_engine import Script, ScriptedEngine

TASK = Instruction("Sum the numbers.", "1 2 3")


def answer(engine: ScriptedEngine, rules: Elimination | None = None) -> Answer:
    return asyncio.run(drive(Responder(GREEDY, rules or Elimination()).answer(TASK, Random("row")), engine))


def test_the_input_stands_below_the_instruction() -> None:
    assert question(TASK) == "Sum the numbers.\n\n1 2 3"
    assert question(Instruction("Say hello.")) == "Say hello."


def test_an_answer_is_stripped_and_counted() -> None:
    prompts = list[Prompt]()

    def reply(prompt: Prompt) -> str:
        prompts.append(prompt)
        return " Six. \n"

    result = answer(ScriptedEngine(Script(median_tokens=7), reply))
    assert isinstance(result, Response)
    assert (result.text, result.finish_reason, result.usage.completion_tokens) == ("Six.", "stop", 7)
    assert [(prompt.text, prompt.sampling, prompt.measure_confidence) for prompt in prompts] == [
        (question(TASK), GREEDY, False)
    ]


def test_a_truncated_answer_stands_and_says_so() -> None:
    result = answer(ScriptedEngine(Script(median_tokens=GREEDY.max_tokens + 1)))
    assert isinstance(result, Response)
    assert (result.finish_reason, result.usage.completion_tokens) == ("length", GREEDY.max_tokens)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty_response"), (" \n", "empty_response"), ("Sorry, no.", "refusal"), ("...", "punctuation_only")],
)
def test_a_rule_turns_an_answer_down_and_its_text_is_kept(text: str, reason: str) -> None:
    result = answer(ScriptedEngine(reply=lambda prompt: text))
    assert isinstance(result, Rejected)
    assert (result.reason, result.text, result.finish_reason, result.usage.completion_tokens) == (
        reason,
        text,
        "stop",
        40,
    )


def test_rules_that_are_off_turn_nothing_down() -> None:
    assert isinstance(answer(ScriptedEngine(reply=lambda prompt: "Sorry, no."), Elimination.none()), Response)


def test_a_refused_prompt_fails_the_answer() -> None:
    result = answer(ScriptedEngine(Script(refuse_text="numbers")))
    assert isinstance(result, Failed)
    assert result.error == "PromptRefused"
    assert "numbers" in result.message
