"""Auto Evol-Instruct against the scripted engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from evolve.errors import TemplateError
from evolve.flow import Strategy, drive
from evolve.prompts import SHIPPED, Template
from evolve.records import Evolved, Failed, Instruction, Message, Prompt, Rejected, Round, Sampling
from evolve.strategies.auto_evol import METHOD_TEMPLATE, TEMPLATES, AutoEvol, load_method
from evolve.strategies.elimination import Elimination
from evolve.strategies.evol_instruct import IN_DEPTH, EvolInstruct
from evolve.strategies.rounds import JUDGE_SAMPLING
from evolve.testing.scripted_engine import Script, ScriptedEngine

SEED = Instruction("Describe how crepes are made.", "for four", "Mix and fry.")
SAMPLING = Sampling()


def reply(final: str, methods: str = "- add a limit\n- ask why", plan: str = "Both at once.") -> str:
    steps = f"Methods:\n{methods}\n\nPlan:\n{plan}\n\nRewritten instruction:\nDraft."
    return f"{steps}\n\nFinal rewritten instruction:\n{final}"


def strategy(
    rounds: int = 1,
    rules: Elimination | None = None,
    sampling: Sampling = SAMPLING,
    templates: Path | None = None,
    method: Template | None = None,
) -> AutoEvol:
    return AutoEvol(rounds, sampling, rules or Elimination(), templates, method)


def evolve(strategy: Strategy, answer: Callable[[Prompt], str], script: Script | None = None) -> list[Round]:
    return asyncio.run(drive(strategy.evolve(SEED, 0, Random("row")), ScriptedEngine(script, answer)))


def test_an_evolution_with_its_trajectory() -> None:
    [item] = evolve(strategy(), lambda prompt: reply("A harder task."))
    assert isinstance(item, Evolved)
    assert item.instruction == "A harder task."
    assert item.operator == f"method:{load_method().digest()}"
    assert item.mean_top1_prob == 0.5
    assert item.usage.completion_tokens == 40
    assert item.trajectory is not None
    assert json.loads(item.trajectory) == {"methods": ["add a limit", "ask why"], "plan": "Both at once."}


def test_a_trajectory_without_methods_and_plan_is_empty() -> None:
    [item] = evolve(strategy(), lambda prompt: "Final rewritten instruction: A harder task.")
    assert isinstance(item, Evolved)
    assert json.loads(item.trajectory or "") == {"methods": [], "plan": ""}


def test_a_method_of_two_steps_with_its_own_headings_works_in_every_round() -> None:
    method = Template("method", "Weak spots: ...\nFinal rewritten instruction: ...\n\nTask:\n{instruction}")
    rounds = evolve(
        strategy(2, method=method), lambda prompt: f"# Weak spots\n- x\n\n## Final rewritten instruction\n{prompt.seed}"
    )
    assert [type(item) for item in rounds] == [Evolved, Evolved]
    assert all(item.operator == f"method:{method.digest()}" for item in rounds)


def test_each_round_reads_the_one_before() -> None:
    prompts = list[str]()

    def answer(prompt: Prompt) -> str:
        prompts.append(prompt.text)
        return reply(f"Task {len(prompts)}.")

    rounds = evolve(strategy(3), answer)
    assert [item.instruction for item in rounds if isinstance(item, Evolved)] == ["Task 1.", "Task 2.", "Task 3."]
    assert [text.rsplit("Task:\n", 1)[1] for text in prompts] == [SEED.instruction, "Task 1.", "Task 2."]


def test_a_reply_without_a_final_instruction_is_rejected_and_kept_whole() -> None:
    replies = iter([reply("Task 1."), "Methods:\n- a\n\nPlan: b", reply("Task 3.")])
    prompts = list[str]()

    def answer(prompt: Prompt) -> str:
        prompts.append(prompt.text)
        return next(replies)

    first, second, third = evolve(strategy(3), answer)
    assert isinstance(first, Evolved)
    assert isinstance(third, Evolved)
    assert isinstance(second, Rejected)
    assert (second.reason, second.text) == ("no_final_instruction", "Methods:\n- a\n\nPlan: b")
    assert second.operator == first.operator
    assert second.usage.completion_tokens == 40
    assert prompts[2].endswith("Task 1.")


@pytest.mark.parametrize(
    ("final", "reason"),
    [
        ("", "empty"),
        (SEED.instruction, "unchanged"),
        ("Rewritten instruction below: bake.", "leaked_words"),
    ],
)
def test_rules_read_the_final_instruction_alone(final: str, reason: str) -> None:
    [item] = evolve(strategy(), lambda prompt: reply(final))
    assert isinstance(item, Rejected)
    assert (item.reason, item.text) == (reason, final)


def test_a_truncated_reply_is_turned_down() -> None:
    [item] = evolve(strategy(sampling=replace(SAMPLING, max_tokens=39)), lambda prompt: reply("A harder ta"))
    assert isinstance(item, Rejected)
    assert (item.reason, item.finish_reason) == ("truncated", "length")


def test_the_judge_compares_the_final_instruction() -> None:
    def answer(prompt: Prompt) -> str:
        if prompt.sampling != JUDGE_SAMPLING:
            return reply("A harder task.")
        return "EQUAL" if "A harder task." in prompt.text and "Methods" not in prompt.text else "DIFFERENT"

    [item] = evolve(strategy(rules=Elimination.wizardlm()), answer)
    assert isinstance(item, Rejected)
    assert (item.reason, item.text) == ("equal", "A harder task.")


def test_a_refused_prompt_fails_the_round_with_the_methods_name() -> None:
    [item] = evolve(strategy(), lambda prompt: "", Script(refuse_text="crepes"))
    assert isinstance(item, Failed)
    assert item.operator == f"method:{load_method().digest()}"


def test_a_saved_method_replaces_the_prompt() -> None:
    method = Template("mine", "Mine: {instruction} / {input}")
    prompts = list[str]()

    def answer(prompt: Prompt) -> str:
        prompts.append(prompt.text)
        return reply("A harder task.")

    [item] = evolve(strategy(method=method), answer)
    assert prompts == [f"Mine: {SEED.instruction} / {SEED.input}"]
    assert isinstance(item, Evolved)
    assert item.operator == f"method:{method.digest()}"


def test_a_users_file_replaces_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "auto_evol").mkdir()
    (tmp_path / f"{METHOD_TEMPLATE}.txt").write_text("Mine: {instruction}")
    assert load_method(tmp_path).text == "Mine: {instruction}"
    (tmp_path / f"{METHOD_TEMPLATE}.txt").write_text("Mine.")
    with pytest.raises(TemplateError, match=r"method\.txt: placeholder \{instruction\} is missing"):
        strategy(templates=tmp_path)


def test_a_system_prompt_goes_before_the_method_and_leaves_its_name(tmp_path: Path) -> None:
    (tmp_path / "auto_evol").mkdir()
    (tmp_path / "auto_evol/system.txt").write_text("You write tasks.")
    prompts = list[Prompt]()

    def answer(prompt: Prompt) -> str:
        prompts.append(prompt)
        return reply("A harder task.")

    [item] = evolve(strategy(templates=tmp_path), answer)
    assert prompts[0].messages[0] == Message("system", "You write tasks.")
    assert item.operator == f"method:{load_method().digest()}" == f"method:{load_method(tmp_path).digest()}"
    assert strategy(templates=tmp_path).fingerprint() != strategy().fingerprint()


def test_the_fingerprint_is_stable_and_changes_with_each_ingredient(tmp_path: Path) -> None:
    (tmp_path / "elimination").mkdir()
    (tmp_path / "elimination/equal.txt").write_text("{parent} or {instruction}?")
    assert strategy().fingerprint() == strategy(method=load_method()).fingerprint()
    assert strategy(templates=tmp_path).fingerprint() == strategy().fingerprint()
    variants: list[Strategy] = [
        strategy(),
        strategy(2),
        strategy(rules=Elimination.none()),
        strategy(rules=Elimination.wizardlm()),
        strategy(rules=Elimination.wizardlm(), templates=tmp_path),
        strategy(sampling=replace(SAMPLING, top_p=0.5)),
        strategy(method=Template("mine", "{instruction}")),
        EvolInstruct(1, IN_DEPTH, SAMPLING, Elimination()),
    ]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)


def test_the_same_row_draws_the_same_numbers() -> None:
    def seeds() -> list[int]:
        drawn = list[int]()

        def answer(prompt: Prompt) -> str:
            drawn.append(prompt.seed)
            return reply(f"Task {prompt.seed}.")

        evolve(strategy(3), answer)
        return drawn

    assert seeds() == seeds()
    assert len(set(seeds())) == 3


def test_the_shipped_prompts_are_there() -> None:
    for name in TEMPLATES:
        assert (SHIPPED / f"{name}.txt").is_file()


def test_a_model_that_copies_the_prompt_gives_no_final_instruction() -> None:
    [item] = evolve(strategy(), lambda prompt: prompt.text)
    assert isinstance(item, Rejected)
    assert item.reason == "no_final_instruction"
