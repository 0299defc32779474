"""Answers: the user turn, and how each ends."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from random import Random

import pytest

from evolve.errors import TemplateError
from evolve.flow import drive
from evolve.prompts import Template
from evolve.records import Answer, Failed, Instruction, Prompt, Rejected, Response
from evolve.strategies.elimination import Elimination
from evolve.strategies.respond import BARE, GREEDY, Responder, load_response_template
from evolve.testing.scripted_engine import Script, ScriptedEngine

TASK = Instruction("Sum the numbers.", "1 2 3")


def answer(engine: ScriptedEngine, rules: Elimination | None = None) -> Answer:
    return asyncio.run(drive(Responder(GREEDY, rules or Elimination()).answer(TASK, Random("row")), engine))


def test_the_input_stands_below_the_instruction() -> None:
    assert TASK.text == "Sum the numbers.\n\n1 2 3"
    assert Instruction("Say hello.").text == "Say hello."


def test_an_answer_is_stripped_and_counted() -> None:
    prompts = list[Prompt]()

    def reply(prompt: Prompt) -> str:
        prompts.append(prompt)
        return " Six. \n"

    result = answer(ScriptedEngine(Script(median_tokens=7), reply))
    assert isinstance(result, Response)
    assert (result.text, result.finish_reason, result.usage.completion_tokens) == ("Six.", "stop", 7)
    assert [(prompt.text, prompt.sampling, prompt.measure_confidence) for prompt in prompts] == [
        (TASK.text, GREEDY, False)
    ]


def test_a_truncated_answer_is_turned_down_or_stands_and_says_so() -> None:
    engine = ScriptedEngine(Script(median_tokens=GREEDY.max_tokens + 1))
    turned_down = answer(engine)
    assert isinstance(turned_down, Rejected)
    assert (turned_down.reason, turned_down.finish_reason) == ("truncated_response", "length")
    result = answer(engine, Elimination(truncated_response=False))
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


def asked(template: Template, task: Instruction = TASK) -> str:
    (message,) = Responder(GREEDY, Elimination(), template).messages(task)
    return message.content


def test_the_bare_task_is_the_default_and_a_template_like_any() -> None:
    bare = load_response_template("bare")
    assert bare == BARE
    assert asked(bare) == TASK.text
    assert asked(bare, Instruction("Say {input}.")) == "Say {input}."


def test_the_papers_prompt_asks_for_a_full_and_right_answer_to_the_whole_task() -> None:
    text = asked(load_response_template("paper"))
    assert TASK.text in text
    assert {"comprehensive", "accurate"} <= set(re.findall(r"\w+", text))


def test_a_template_of_ones_own_replaces_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "respond").mkdir()
    (tmp_path / "respond" / "bare.txt").write_text("Do: {instruction}\nWith: {input}")
    own = load_response_template("bare", tmp_path)
    assert asked(own) == "Do: Sum the numbers.\nWith: 1 2 3"
    (tmp_path / "respond" / "paper.txt").write_text("Do it well.")
    with pytest.raises(TemplateError, match=r"paper\.txt: placeholder \{instruction\} is missing"):
        load_response_template("paper", tmp_path)
