"""One candidate: the analysis, the rewriting, and every way in which a reply may hold a method or none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from random import Random

import pytest

from evolve.errors import TemplateError
from evolve.flow import drive
from evolve.method_search.propose import METHOD_FORM, Optimiser, Proposal, Trajectory, parse_method, render
from evolve.records import Evolved, Failed, Form, Prompt, Rejected, Sampling, Usage
from evolve.testing.scripted_engine import Script, ScriptedEngine

METHOD = "Make it harder: {instruction}"
BETTER = "Make it much harder, step by step.\n\n{instruction}"
SAMPLING = Sampling(temperature=0.6)
TRAJECTORIES = [
    Trajectory(
        "Describe crepes.",
        (
            Evolved("Describe two crepes.", "method:x", "stop", Usage()),
            Rejected("no_final_instruction", "Methods: none", "method:x"),
            Failed("PromptRefused", "too long", "method:x"),
        ),
    ),
    Trajectory("Sum 1 and {2}.", (Evolved("Sum 1, 2 and 3.", "method:x", "stop", Usage()),)),
]


def propose(
    analysis: str, rewrite: Callable[[int], str], script: Script | None = None
) -> tuple[Proposal, list[Prompt]]:
    prompts = list[Prompt]()

    def reply(prompt: Prompt) -> str:
        prompts.append(prompt)
        return analysis if len(prompts) == 1 else rewrite(len(prompts) - 1)

    flow = Optimiser.load(SAMPLING, attempts=3).propose(METHOD, TRAJECTORIES, Random("candidate"))
    return asyncio.run(drive(flow, ScriptedEngine(script, reply))), prompts


def test_trajectories_are_told_round_by_round() -> None:
    assert render(TRAJECTORIES) == (
        "Task 1\nOriginal: Describe crepes.\nRound 1: Describe two crepes.\n"
        "Round 2: (no new task: no_final_instruction)\nRound 3: (no new task: PromptRefused)\n\n"
        "Task 2\nOriginal: Sum 1 and {2}.\nRound 1: Sum 1, 2 and 3."
    )


def test_analysis_and_rewriting() -> None:
    proposal, prompts = propose(" Task 1, round 2: no task. ", lambda attempt: f"<method>{BETTER}</method>")
    assert proposal == Proposal("method", "Task 1, round 2: no task.", BETTER, attempts=1)
    analyse, rewrite = prompts
    assert render(TRAJECTORIES) in analyse.text
    assert f"<method>\n{METHOD}\n</method>" in rewrite.text
    assert "Task 1, round 2: no task." in rewrite.text
    assert "It holds {instruction} exactly once" in rewrite.text
    for asked in ("any number of steps", "spoil other tasks", "at least as complex", "language in which"):
        assert asked in rewrite.text
    assert "four steps" not in rewrite.text
    assert {prompt.sampling for prompt in prompts} == {SAMPLING}
    assert analyse.seed != rewrite.seed


def test_with_forms_only_a_method_with_its_placeholder_fits() -> None:
    forms: list[Form | None] = []

    def reply(prompt: Prompt) -> str:
        forms.append(prompt.form)
        return "Task 1 failed." if len(forms) == 1 else f"<method>\n{BETTER}\n</method>"

    optimiser = Optimiser.load(SAMPLING, attempts=1, forms=True)
    flow = optimiser.propose(METHOD, TRAJECTORIES, Random("candidate"))
    assert asyncio.run(drive(flow, ScriptedEngine(None, reply))).text == BETTER
    assert forms == [None, METHOD_FORM]
    fits = re.compile(METHOD_FORM.pattern).fullmatch
    assert fits(f"<method>\n{BETTER}\n</method>")
    assert not fits("<method>\nMake it harder.\n</method>")
    assert not fits(f"<method>\n{BETTER} {{task}}\n</method>")


def test_a_reply_without_a_method_is_asked_for_again() -> None:
    proposal, prompts = propose("bad", lambda attempt: f"<method>{BETTER}</method>" if attempt == 3 else "I cannot.")
    assert (proposal.outcome, proposal.text, proposal.attempts) == ("method", BETTER, 3)
    assert len({prompt.seed for prompt in prompts}) == 4


def test_replies_without_a_method_are_counted_up_to_the_limit() -> None:
    proposal, prompts = propose("bad", lambda attempt: "I cannot.")
    assert (proposal.outcome, proposal.text, proposal.attempts, len(prompts)) == ("no_method", None, 3, 4)
    assert "expected a method between <method> and </method>" in proposal.note


@pytest.mark.parametrize("analysis", ["NONE", "none.", "**NONE**", "", "No failures found.", "No failures were found"])
def test_an_empty_failure_list_ends_the_candidate(analysis: str) -> None:
    proposal, prompts = propose(analysis, lambda attempt: f"<method>{BETTER}</method>")
    assert (proposal.outcome, proposal.text, len(prompts)) == ("no_failures", None, 1)


def test_an_analysis_that_mentions_none_is_no_empty_list() -> None:
    proposal, _ = propose("None of the rounds got harder.", lambda attempt: f"<method>{BETTER}</method>")
    assert proposal.outcome == "method"


def test_a_refused_analysis() -> None:
    proposal, _ = propose("bad", lambda attempt: "", Script(refuse_text="crepes"))
    assert (proposal.outcome, proposal.feedback) == ("refused", "")
    assert "crepes" in proposal.note


def test_a_refused_rewriting_keeps_the_analysis() -> None:
    proposal, _ = propose("bad", lambda attempt: "", Script(refuse_text=METHOD))
    assert (proposal.outcome, proposal.feedback) == ("refused", "bad")


@pytest.mark.parametrize(
    "reply",
    [
        f"<method>{BETTER}</method>",
        f"Here it is:\n<METHOD>\n{BETTER}\n</METHOD>\nIt is better.",
        f"<method>\n{BETTER}",
        f"<method></method>\n<method>{BETTER}</method>",
        f"<method>old {{instruction}}</method> becomes <method>{BETTER}</method>",
        f"Here it is:\n```\n{BETTER}\n```\nDone.",
        f"```text\n{BETTER}\n```",
        f"```Optimized Method\n{BETTER}\n```",
        f"Done.\n```the better method:\n{BETTER}\n```",
        f"Improved method:\n{BETTER}",
        f"**New Method:**\n\n{BETTER}",
        f"## The Optimized Method\n{BETTER}",
        f"Better method: {BETTER}",
    ],
)
def test_ways_to_hand_a_method_over(reply: str) -> None:
    assert parse_method(reply) == BETTER


@pytest.mark.parametrize("spelling", ["{instruction}", "{{instruction}}", "{Instruction}", "{ INSTRUCTION }"])
def test_spellings_of_the_placeholder(spelling: str) -> None:
    assert parse_method(f"<method>Harder: {spelling}</method>") == "Harder: {instruction}"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "found none"),
        ("I cannot do that.", "found none"),
        ("<method> </method>", "found none"),
        ("<method>Make it harder.</method>", r"placeholder \{instruction\} is missing"),
        ("<method>{instruction} {plan}</method>", r"unknown placeholder \{plan\}"),
    ],
)
def test_replies_without_a_usable_method(reply: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=f"the optimiser's reply: .*{problem}"):
        parse_method(reply)
