"""A reply whose thoughts did not end is no answer, whoever asked: each stage says so and keeps what was thought."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from random import Random
from typing import Any

import pytest

from evolve.autoif.augment import augment
from evolve.autoif.back_translation import back_translate
from evolve.autoif.nli import judge
from evolve.autoif.quality import score_quality
from evolve.autoif.records import Dropped
from evolve.autoif.responses import respond
from evolve.autoif.templates import Templates
from evolve.autoif.verification import write_verifications
from evolve.flow import drive
from evolve.judging.comparison import Comparison
from evolve.judging.difficulty import label_question
from evolve.judging.key_phrases import KeyPhrases
from evolve.judging.records import Case, Side
from evolve.method_search.propose import Optimiser
from evolve.records import Completion, Evolved, Instruction, Prompt, Rejected, Response, Sampling
from evolve.strategies.auto_evol import AutoEvol
from evolve.strategies.elimination import Elimination
from evolve.strategies.evol_instruct import IN_DEPTH, EvolInstruct
from evolve.strategies.respond import Responder

SEED = Instruction("Describe crepes.")
SAMPLING = Sampling()
TEMPLATES = Templates.load()


class Thinking:
    """An engine that thinks before each answer, and forever where `ends` says so of a prompt."""

    max_concurrency = None

    def __init__(self, ends: Callable[[Prompt], bool], text: str = "Describe thin crepes.") -> None:
        self._ends, self._text = ends, text

    async def generate(self, prompt: Prompt) -> Completion:
        ends = self._ends(prompt)
        reason = "stop" if ends else "length"
        text = self._text if ends else ""
        return Completion(text, reason, 3, 9, None, "Well.", 4 if ends else 9, ends)  # type: ignore[arg-type]

    async def close(self) -> None:
        pass


def never(prompt: Prompt) -> bool:
    return False


def run(flow: Generator[Prompt, Completion, Any], ends: Callable[[Prompt], bool] = never, text: str = "A text.") -> Any:
    return asyncio.run(drive(flow, Thinking(ends, text)))


def strategies(rules: Elimination) -> list[EvolInstruct | AutoEvol]:
    return [EvolInstruct(1, IN_DEPTH, SAMPLING, rules), AutoEvol(1, SAMPLING, rules)]


@pytest.mark.parametrize("strategy", strategies(Elimination.none()), ids=lambda item: item.name)
def test_evolving(strategy: EvolInstruct | AutoEvol) -> None:
    [item] = run(strategy.evolve(SEED, 0, Random(0)))
    assert isinstance(item, Rejected)
    assert (item.reason, item.usage.reasoning_tokens) == ("unfinished_reasoning", 9)


def test_the_judge_of_equality_does_not_count_as_having_said_different() -> None:
    strategy = EvolInstruct(1, IN_DEPTH, SAMPLING, Elimination.wizardlm())
    [item] = run(strategy.evolve(SEED, 0, Random(0)), lambda prompt: prompt.sampling == SAMPLING)
    assert isinstance(item, Rejected)
    assert (item.reason, item.text) == ("unfinished_reasoning", "A text.")
    [item] = run(strategy.evolve(SEED, 0, Random(0)), lambda prompt: True)
    assert isinstance(item, Evolved)
    assert item.usage.reasoning_tokens == 8


def test_responding() -> None:
    responder = Responder(SAMPLING, Elimination.none())
    item = run(responder.answer(SEED, Random(0)))
    assert isinstance(item, Rejected)
    assert (item.reason, item.reasoning, item.usage.reasoning_tokens) == ("unfinished_reasoning", "Well.", 9)
    item = run(responder.answer(SEED, Random(0)), lambda prompt: True)
    assert isinstance(item, Response)
    assert (item.text, item.reasoning, item.usage.reasoning_tokens) == ("A text.", "Well.", 4)


@pytest.mark.parametrize(
    "question", [label_question(), Comparison(), KeyPhrases()], ids=["difficulty", "win", "phrases"]
)
def test_judging(question: Any) -> None:
    side = Side(SEED, "")
    item = run(question.ask(Case(side, side), Random(0)))
    assert isinstance(item, Rejected)
    assert (item.reason, item.text) == ("unfinished_reasoning", "Well.")


def test_judging_counts_what_came_before() -> None:
    asked = list[Prompt]()

    def first(prompt: Prompt) -> bool:
        asked.append(prompt)
        return len(asked) == 1

    side = Side(SEED, "")
    item = run(Comparison().ask(Case(side, side), Random(0)), first, "A")
    assert (item.reason, item.usage.completion_tokens) == ("unfinished_reasoning", 18)


def test_every_step_of_autoif() -> None:
    rng = Random(0)
    steps = [
        run(augment(["a"], 2, TEMPLATES.augment, SAMPLING, rng)),
        run(write_verifications("a", 1, TEMPLATES.verify, SAMPLING, rng)),
        run(back_translate(["a"], 1, TEMPLATES.back_translate, SAMPLING, rng)),
    ]
    fallen = [(step.dropped[0], step.usage) for step in steps]
    fallen += [run(judge("a", "b", TEMPLATES.nli, rng)), run(score_quality("a", "b", "c", TEMPLATES.quality, rng))]
    for dropped, usage in fallen:
        assert isinstance(dropped, Dropped)
        assert (dropped.reason, dropped.text) == ("unfinished_reasoning", "Well.")
        assert usage.reasoning_tokens == 9
    answer = run(respond("a", "b", TEMPLATES.respond, SAMPLING, rng, keep_truncated=True))
    assert isinstance(answer, Rejected)
    assert (answer.reason, answer.reasoning) == ("unfinished_reasoning", "Well.")


def test_an_answer_of_autoif_shows_no_marks_of_thoughts() -> None:
    flow = respond("a", "b", TEMPLATES.respond, SAMPLING, Random(0))
    assert run(flow, lambda prompt: True, "x</think>y").reason == "leaked_reasoning"
    flow = respond("a", "b", TEMPLATES.respond, SAMPLING, Random(0), leaked_reasoning=False)
    assert run(flow, lambda prompt: True, "x</think>y").text == "x</think>y"
    flow = respond("End with </think>.", "b", TEMPLATES.respond, SAMPLING, Random(0))
    assert run(flow, lambda prompt: True, "x</think>y").text == "x</think>y"


def test_the_optimisers_analysis_and_its_rewriting() -> None:
    optimiser = Optimiser.load(SAMPLING, 2)
    assert run(optimiser.propose("m", [], Random(0))).outcome == "unfinished_reasoning"

    def analysis(prompt: Prompt) -> bool:
        return "A method was used" in prompt.text

    proposal = run(optimiser.propose("m", [], Random(0)), analysis, "It is too short.")
    assert (proposal.outcome, proposal.feedback, proposal.attempts) == ("unfinished_reasoning", "It is too short.", 2)
