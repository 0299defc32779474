"""Evol-Instruct against the scripted engine: the round-robin rule, the walk over rounds, fingerprints and seeds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from evolve.errors import EngineDied, TemplateError
from evolve.flow import drive
from evolve.prompts import SHIPPED, load_template
from evolve.records import Evolved, Failed, Instruction, Prompt, Rejected, Round, Sampling, Usage
from evolve.strategies.elimination import Elimination
from evolve.strategies.evol_instruct import (
    BREADTH,
    COMPLICATE_INPUT,
    IN_DEPTH,
    OPERATORS,
    TEMPLATES,
    EvolInstruct,
    operator_order,
)
from evolve.strategies.rounds import JUDGE_SAMPLING
from evolve.testing.scripted_engine import Script, ScriptedEngine

SEED = Instruction("Describe how crepes are made.", "for four", "Mix and fry.")
SAMPLING = Sampling()
Reply = Callable[[Prompt], str]


def strategy(
    rounds: int = 3,
    order: tuple[str, ...] = IN_DEPTH,
    rules: Elimination | None = None,
    sampling: Sampling = SAMPLING,
    templates: Path | None = None,
) -> EvolInstruct:
    return EvolInstruct(rounds, order, sampling, rules or Elimination(), templates)


def evolve(evol_instruct: EvolInstruct, engine: ScriptedEngine, index: int = 0, seed: str = "row") -> list[Round]:
    return asyncio.run(drive(evol_instruct.evolve(SEED, index, Random(seed)), engine))


def recording(reply: Reply) -> tuple[ScriptedEngine, list[Prompt]]:
    prompts = list[Prompt]()

    def answer(prompt: Prompt) -> str:
        prompts.append(prompt)
        return reply(prompt)

    return ScriptedEngine(reply=answer), prompts


def parent_in(prompt: Prompt) -> str:
    """The task that a shipped operator's prompt puts in."""
    return prompt.text.split("Task:\n")[1].rsplit("\n\n", 1)[0]


@pytest.mark.parametrize(
    ("breadth", "complicate", "order"),
    [
        (False, False, IN_DEPTH),
        (True, False, (*IN_DEPTH, BREADTH)),
        (False, True, (*IN_DEPTH, COMPLICATE_INPUT)),
        (True, True, (*IN_DEPTH, COMPLICATE_INPUT, BREADTH)),
    ],
)
def test_operator_order(breadth: bool, complicate: bool, order: tuple[str, ...]) -> None:
    assert operator_order(breadth, complicate) == order


@pytest.mark.parametrize(
    "order", [operator_order(False, False), operator_order(True, False), operator_order(True, True)]
)
def test_round_robin(order: tuple[str, ...]) -> None:
    for index in range(2 * len(order) + 1):
        engine, prompts = recording(lambda prompt: f"A task that is new in round {prompt.seed}.")
        rounds = evolve(strategy(7, order), engine, index)
        for number, (item, prompt) in enumerate(zip(rounds, prompts, strict=True)):
            expected = order[(index + number) % len(order)]
            assert item.operator == expected
            opening = load_template(f"evol_instruct/{expected}", {"instruction"}).text.split("Task:")[0]
            assert prompt.text.startswith(opening)


def test_each_round_reads_the_one_before() -> None:
    replies = iter(["First task.", "Second task.", "Third task."])
    engine, prompts = recording(lambda prompt: f" {next(replies)}\n")
    rounds = evolve(strategy(3), engine)
    assert [item.instruction for item in rounds if isinstance(item, Evolved)] == [
        "First task.",
        "Second task.",
        "Third task.",
    ]
    assert [parent_in(prompt) for prompt in prompts] == [SEED.instruction, "First task.", "Second task."]


def test_prompts_carry_sampling_and_ask_for_confidence() -> None:
    sampling = Sampling(temperature=0.3, max_tokens=99)
    engine, prompts = recording(lambda prompt: "A new task.")
    [item] = evolve(strategy(1, sampling=sampling), engine)
    assert [prompt.sampling for prompt in prompts] == [sampling]
    assert isinstance(item, Evolved)
    assert item.mean_top1_prob == 0.5
    assert item.usage == Usage(len(prompts[0].text) // 4, 40)
    assert item.trajectory is None


def test_a_rejected_round_hands_its_parent_on_and_keeps_its_text() -> None:
    replies = iter(["First task.", "Harder version: leak", "Third task."])
    engine, prompts = recording(lambda prompt: next(replies))
    first, second, third = evolve(strategy(3), engine)
    assert isinstance(first, Evolved)
    assert isinstance(third, Evolved)
    assert isinstance(second, Rejected)
    assert (second.reason, second.text, second.operator) == ("leaked_words", "Harder version: leak", "deepen")
    assert second.usage.completion_tokens == 40
    assert parent_in(prompts[2]) == "First task."


def test_a_refused_round_fails_and_hands_its_parent_on() -> None:
    engine = ScriptedEngine(Script(refuse_text="goes deeper"))
    first, second, third = evolve(strategy(3), engine)
    assert isinstance(first, Evolved)
    assert isinstance(third, Evolved)
    assert isinstance(second, Failed)
    assert (second.error, second.operator, second.text) == ("PromptRefused", "deepen", first.instruction)
    assert "goes deeper" in second.message


def test_every_round_refused_still_gives_one_result_a_round() -> None:
    rounds = evolve(strategy(4), ScriptedEngine(Script(refuse_text="task")))
    assert [type(item) for item in rounds] == [Failed] * 4
    assert [item.text for item in rounds if isinstance(item, Failed)] == [SEED.instruction] * 4


def test_a_dead_engine_is_nobodys_round() -> None:
    with pytest.raises(EngineDied, match="call 2"):
        evolve(strategy(3), ScriptedEngine(Script(die_after=2)))


@pytest.mark.parametrize(("verdict", "kind"), [("EQUAL", Rejected), ("DIFFERENT", Evolved)])
def test_the_judge_decides(verdict: str, kind: type[Round]) -> None:
    engine, prompts = recording(lambda prompt: verdict if prompt.sampling == JUDGE_SAMPLING else "A new task.")
    [item] = evolve(strategy(1, rules=Elimination.wizardlm()), engine)
    assert isinstance(item, kind)
    assert len(prompts) == 2
    assert SEED.instruction in prompts[1].text
    assert "A new task." in prompts[1].text
    # The judge's tokens belong to the round: 8 are the most that it may spend.
    assert item.usage.completion_tokens == 40 + 8
    if isinstance(item, Rejected):
        assert (item.reason, item.text) == ("equal", "A new task.")


def test_the_judge_is_not_asked_where_another_rule_decided() -> None:
    engine, prompts = recording(lambda prompt: SEED.instruction)
    [item] = evolve(strategy(1, rules=Elimination.wizardlm()), engine)
    assert isinstance(item, Rejected)
    assert item.reason == "unchanged"
    assert len(prompts) == 1


def test_a_round_whose_judge_is_refused_fails_with_what_it_has() -> None:
    engine = ScriptedEngine(Script(refuse_text="EQUAL or DIFFERENT"), reply=lambda prompt: "A new task.")
    [item] = evolve(strategy(1, rules=Elimination.wizardlm()), engine)
    assert isinstance(item, Failed)
    assert (item.text, item.operator, item.usage.completion_tokens) == ("A new task.", "add_constraint", 40)


def test_the_same_row_draws_the_same_numbers() -> None:
    def seeds(row: str, rules: Elimination) -> list[int]:
        engine, prompts = recording(lambda prompt: f"Task {prompt.seed}.")
        evolve(strategy(3, rules=rules), engine, seed=row)
        return [prompt.seed for prompt in prompts]

    for rules in (Elimination(), Elimination.wizardlm()):
        assert seeds("a", rules) == seeds("a", rules)
        assert len(set(seeds("a", rules))) == len(seeds("a", rules))
        assert not set(seeds("a", rules)) & set(seeds("b", rules))


def test_concurrent_rows_end_as_they_do_alone() -> None:
    item = strategy(3)

    async def together() -> list[list[Round]]:
        engine = ScriptedEngine(Script(slots=2, decode_rate=100_000, sigma=0.8))
        return await asyncio.gather(*(drive(item.evolve(SEED, row, Random(row)), engine) for row in range(8)))

    alone = [
        asyncio.run(drive(item.evolve(SEED, row, Random(row)), ScriptedEngine(Script(sigma=0.8)))) for row in range(8)
    ]
    assert asyncio.run(together()) == alone


def test_the_fingerprint_is_stable_and_changes_with_each_ingredient(tmp_path: Path) -> None:
    def own(name: str, text: str) -> Path:
        path = tmp_path / name.replace("/", "_") / f"{name}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return tmp_path / name.replace("/", "_")

    assert strategy().fingerprint() == strategy().fingerprint()
    judged = Elimination.wizardlm()
    operator = own("evol_instruct/deepen", "Harder: {instruction}")
    judge = own("elimination/equal", "{parent} or {instruction}?")
    variants = [
        strategy(),
        strategy(rounds=2),
        strategy(order=operator_order(True, False)),
        strategy(order=IN_DEPTH[::-1]),
        strategy(sampling=replace(SAMPLING, temperature=0.1)),
        strategy(sampling=replace(SAMPLING, stop=("###",))),
        strategy(rules=Elimination.none()),
        strategy(templates=operator),
        strategy(rules=judged),
        strategy(rules=judged, templates=judge),
    ]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)


def test_the_judges_prompt_counts_only_where_the_judge_is_asked(tmp_path: Path) -> None:
    (tmp_path / "elimination").mkdir()
    (tmp_path / "elimination/equal.txt").write_text("{parent} or {instruction}?")
    assert strategy(templates=tmp_path).fingerprint() == strategy().fingerprint()


def test_a_users_template_is_used_and_may_show_the_input(tmp_path: Path) -> None:
    (tmp_path / "evol_instruct").mkdir()
    (tmp_path / "evol_instruct/add_constraint.txt").write_text("Mine: {instruction} / {input}")
    engine, prompts = recording(lambda prompt: "A new task.")
    evolve(strategy(1, templates=tmp_path), engine)
    assert [prompt.text for prompt in prompts] == [f"Mine: {SEED.instruction} / {SEED.input}"]


def test_a_users_template_that_lacks_its_placeholder_is_named(tmp_path: Path) -> None:
    (tmp_path / "evol_instruct").mkdir()
    (tmp_path / "evol_instruct/deepen.txt").write_text("Make it deeper.")
    with pytest.raises(TemplateError, match=r"deepen\.txt: placeholder \{instruction\} is missing"):
        strategy(templates=tmp_path)


def test_every_operator_has_a_shipped_template() -> None:
    assert strategy(order=OPERATORS, rules=Elimination.wizardlm()).rounds == 3
    assert {f"evol_instruct/{name}" for name in OPERATORS} < TEMPLATES
    for name in TEMPLATES:
        assert (SHIPPED / f"{name}.txt").is_file()
