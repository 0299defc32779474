"""One instruction through verification, cross-validation and back-translation, against the scripted engine."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from evolve.autoif.augment import augment
from evolve.autoif.examine import Examined, Examiner
from evolve.autoif.rules import OFFICIAL, PAPER, Rules
from evolve.autoif.templates import Templates
from evolve.flow import drive
from evolve.records import Sampling
from evolve.sandbox import Limits, Sandbox
from evolve.testing.scripted_engine import Script, ScriptedEngine

TEMPLATES = Templates.load()
RULES = replace(OFFICIAL, replies=4)


@pytest.fixture(scope="module")
def fast() -> Iterator[Sandbox]:
    """A sandbox in which functions that hang cost little time."""
    with Sandbox(Limits(wall_seconds=0.3, cpu_seconds=0.3)) as sandbox:
        yield sandbox


def examine(box: Sandbox, instruction: str, rules: Rules = RULES, script: Script | None = None) -> Examined:
    engine = ScriptedEngine(script or Script(reply="autoif"))
    return asyncio.run(Examiner(rules, TEMPLATES, engine, box.check).examine(instruction, Random(0)))


def reasons(found: Examined) -> Counter[tuple[str, str]]:
    return Counter((item.kind, item.reason) for item in found.dropped)


def test_an_instruction_keeps_its_functions_cases_and_descriptions(fast: Sandbox) -> None:
    found = examine(fast, "Mention the word amber once or more")
    assert found.reason is None
    assert [function.accuracy for function in found.functions] == [1.0] * 4
    assert len(found.cases) == 12
    assert found.back_translations == ("Mention the word amber once or more.",) * 3
    assert found.entered == {"reply": 4, "function": 4, "case": 12, "back_translation": 3}
    assert found.dropped == ()
    # seven completions of forty tokens
    assert found.usage.completion_tokens == 7 * 40
    assert found.account()["kept"] == {"reply": 4, "function": 4, "case": 12, "back_translation": 3}


def test_without_back_translations_nothing_is_described(fast: Sandbox) -> None:
    found = examine(fast, "Mention the word amber once or more", replace(PAPER, replies=2))
    assert (len(found.functions), found.back_translations, found.reason) == (2, (), None)
    assert found.entered["back_translation"] == 0


@pytest.mark.parametrize(
    ("behind", "reason", "dropped"),
    [
        (", without code", "too_few_functions", {("reply", "no_json"): 4, ("instruction", "too_few_functions"): 1}),
        (", with wrong cases", "no_case_kept", {("case", "agreement"): 12, ("instruction", "no_case_kept"): 1}),
    ],
)
def test_what_falls_says_why(fast: Sandbox, behind: str, reason: str, dropped: dict[tuple[str, str], int]) -> None:
    found = examine(fast, f"Mention the word amber once or more{behind}")
    assert found.reason == reason
    assert reasons(found) == dropped


@pytest.mark.slow
def test_a_call_that_hangs_agrees_with_nothing(fast: Sandbox) -> None:
    rules = replace(RULES, replies=2, cross_validation=PAPER.cross_validation)
    found = examine(fast, "Mention the word amber once or more, with a hanging function", rules)
    assert found.reason is None
    assert len(found.functions) == 2
    assert [case.expected for case in found.cases] == [True] * 4
    assert reasons(found) == {("case", "agreement"): 2}


def test_a_refused_prompt_falls_as_a_reply(fast: Sandbox) -> None:
    found = examine(fast, "Mention the word amber", RULES, Script(reply="autoif", refuse_text="amber"))
    assert found.reason == "too_few_functions"
    assert reasons(found)["reply", "refused"] == 4


def test_the_scripted_calls_give_five_instructions_and_a_duplicate() -> None:
    flow = augment(["Use no vowels"], 50, TEMPLATES.augment, Sampling(), Random(0))
    found = asyncio.run(drive(flow, ScriptedEngine(Script(reply="autoif"))))
    assert len(found.instructions) == 6
    assert [item.reason for item in found.dropped] == ["heading", "no_words"]
