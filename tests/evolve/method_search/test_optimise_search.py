"""Whole searches against a scripted engine in which better methods exist."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.errors import EngineDied, SearchError
from evolve.method_search.config import Engines, SearchConfig, set_aside
from evolve.method_search.search import optimise
from evolve.method_search.state import OptimiserState
from evolve.records import Instruction, Prompt
from evolve.strategies.auto_evol import load_method
from evolve.strategies.elimination import Elimination
from evolve.strategies.method import Models, TunedOn
from evolve.testing.scripted_engine import Script, ScriptedEngine

POOL = [Instruction(f"Describe dish {number}.") for number in range(12)]
DEV = [Instruction(f"Explain row {number}.", "with input") for number in range(10)]
CONFIG = SearchConfig(
    Models("small", "large", "medium"),
    TunedOn("seeds.jsonl", len(POOL), tuple(f"id{number}" for number in range(10))),
    "2026-01-02T03:04:05+00:00",
    seed=3,
    minibatch=4,
    rounds=2,
    rules=Elimination.none(),
)
FAILING = {0: 6, 1: 3, 2: 1, 3: 1}
"""How many dev rows fail by a method's level."""


class World:
    """Replies as models would for which a method's level is all that counts, and each rewriting raises it by one."""

    def __init__(
        self, rewrite: Callable[[int, Prompt], str] | None = None, analysis: str = "Task 1, round 1: vague."
    ) -> None:
        self.prompts = list[Prompt]()
        self._rewrite = rewrite or self.raised
        self._analysis = analysis

    def engines(self, script: Script | None = None) -> Engines:
        engine = ScriptedEngine(script, self.reply)
        return Engines(engine, engine, engine)

    def reply(self, prompt: Prompt) -> str:
        self.prompts.append(prompt)
        level = int(found[1]) if (found := re.search(r"LEVEL (\d)", prompt.text)) else 0
        if prompt.text.startswith("A method was used"):
            return self._analysis
        if prompt.text.startswith("The text between"):
            return self._rewrite(level, prompt)
        if row := re.fullmatch(r"(?s)Harder (\d): Explain row (\d+)\..*", prompt.text):
            return "Sure, which one?" if int(row[2]) < FAILING[int(row[1])] else "It is so."
        task = re.split(r"Task:\s", prompt.text)[-1]
        return f"Methods:\n- m\n\nPlan:\np\n\nFinal rewritten instruction:\nHarder {level}: {task}"

    @staticmethod
    def raised(level: int, prompt: Prompt) -> str:
        """A method one level up, except for seeds of which a third gives none and a third a worse one."""
        if prompt.seed % 3 == 0:
            return "I cannot."
        level = level + 1 if prompt.seed % 3 == 1 else 0
        return f"<method>LEVEL {level}, variant {prompt.seed}. Task:\n{{instruction}}</method>"


def run(
    world: World,
    config: SearchConfig = CONFIG,
    state: OptimiserState | None = None,
    on_step: Callable[[OptimiserState], None] = lambda state: None,
    script: Script | None = None,
) -> OptimiserState:
    return asyncio.run(optimise(config, POOL, DEV, world.engines(script), state, on_step))


def test_a_better_method_is_found_and_the_rates_fall() -> None:
    end = run(World())
    assert end.stopped == "rate_not_falling"
    assert end.method.text.startswith("LEVEL 2")
    assert end.method.failure_rates == (0.6, 0.3, 0.1)
    assert (end.method.step, end.score.rate) == (2, 0.1)
    assert [step.score.rate for step in end.log] == [0.6, 0.3, 0.1, 0.1]
    assert [step.chosen is None for step in end.log] == [True, False, False, True]


def test_the_method_says_where_it_comes_from() -> None:
    method = run(World()).method
    assert method.parent is not None
    assert method.parent != method.fingerprint == method.template().digest()
    assert (method.models, method.tuned_on, method.created_at) == (CONFIG.models, CONFIG.tuned_on, CONFIG.created_at)


def test_all_candidates_are_logged_with_their_scores() -> None:
    end = run(World())
    before = load_method().digest()
    for step in end.log[1:]:
        assert [candidate.number for candidate in step.candidates] == list(range(5))
        for candidate in step.candidates:
            assert (candidate.score is None) == (candidate.fingerprint is None) == (candidate.proposal.text is None)
        scored = [candidate.score.rate for candidate in step.candidates if candidate.score]
        if step.chosen is not None:
            assert step.candidates[step.chosen].fingerprint == step.method
            assert step.score.rate == min(scored)
        else:
            assert step.method == before
            assert min(scored) >= step.score.rate
        before = step.method
    assert end.log[1].candidates[0].proposal.feedback == "Task 1, round 1: vague."
    attempts = [candidate.proposal.attempts for step in end.log for candidate in step.candidates]
    assert max(attempts) > 1


@pytest.mark.parametrize("killed_at", [0, 1, 2])
def test_a_killed_search_ends_as_it_would_have(killed_at: int, tmp_path: Path) -> None:
    saved = tmp_path / "state.json"

    def save_and_die(state: OptimiserState) -> None:
        saved.write_bytes(state.to_json())
        if len(state.log) == killed_at + 1:
            raise KeyboardInterrupt

    whole, first, second = World(), World(), World()
    expected = run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(first, on_step=save_and_die)
    resumed = run(second, state=OptimiserState.from_json(saved.read_bytes(), str(saved)))
    assert resumed.to_json() == expected.to_json()
    assert len(first.prompts) + len(second.prompts) == len(whole.prompts)


def test_a_finished_search_asks_nothing_more() -> None:
    world = World()
    end = run(World())
    assert run(world, state=end) == end
    assert world.prompts == []


def test_the_order_in_which_replies_come_changes_nothing() -> None:
    slow = Script(slots=3, decode_rate=200_000, sigma=1.0)
    assert run(World(), script=slow).to_json() == run(World()).to_json()


def test_candidates_and_rows_run_side_by_side() -> None:
    # 100 ms a reply: one after the other the steps would take 100 times as long.
    world = World()
    script = Script(slots=1000, decode_rate=400)
    took = asyncio.run(_timed(world, script))
    assert len(world.prompts) * 0.1 > 20
    assert took < 8


async def _timed(world: World, script: Script) -> float:
    began = asyncio.get_running_loop().time()
    await optimise(CONFIG, POOL, DEV, world.engines(script), None, lambda state: None)
    return asyncio.get_running_loop().time() - began


def test_who_is_asked_for_what() -> None:
    parts = [ScriptedEngine(reply=World().reply) for _ in range(3)]
    asyncio.run(optimise(replace(CONFIG, steps=1), POOL, DEV, Engines(*parts), None, lambda state: None))
    evolver, optimiser, responder = parts
    assert responder.calls == evolver.calls - 4 * 2
    assert responder.calls % len(DEV) == 0
    assert 5 + 5 <= optimiser.calls <= 5 + 5 * 3


def test_sampling_of_each_part() -> None:
    world = World()
    run(world, replace(CONFIG, steps=1))
    by_part = {
        prompt.sampling.temperature for prompt in world.prompts if prompt.text.startswith(("A method", "The text"))
    }
    assert by_part == {0.6}
    rest = {
        prompt.sampling.temperature for prompt in world.prompts if not prompt.text.startswith(("A method", "The text"))
    }
    assert rest == {0.0}


def test_the_dev_rows_are_answered_with_their_input() -> None:
    world = World()
    run(world, replace(CONFIG, steps=1))
    answered = [prompt.text for prompt in world.prompts if prompt.text.startswith("Harder 0: Explain row 3.")]
    assert answered
    assert set(answered) == {"Harder 0: Explain row 3.\n\nwith input"}


def test_at_most_so_many_steps() -> None:
    end = run(World(), replace(CONFIG, steps=1))
    assert (end.stopped, len(end.log), end.score.rate) == ("max_steps", 2, 0.3)


def test_a_method_that_never_fails_is_left_alone() -> None:
    world = World()
    engines = Engines(*[ScriptedEngine(reply=lambda prompt: "Final rewritten instruction: Do it.")] * 3)
    end = asyncio.run(optimise(CONFIG, POOL, DEV, engines, None, lambda state: None))
    assert (end.stopped, end.score.rate, len(end.log)) == ("nothing_failed", 0.0, 1)
    assert end.method.text == load_method().text
    assert world.prompts == []


def test_an_empty_failure_list_stops_with_the_method_as_it_is() -> None:
    end = run(World(analysis="NONE"))
    assert (end.stopped, end.method.text, len(end.log)) == ("no_failures_found", load_method().text, 2)
    assert {candidate.proposal.outcome for candidate in end.log[1].candidates} == {"no_failures"}


def test_an_optimiser_without_a_method_ends_the_step_with_what_there_is() -> None:
    end = run(World(rewrite=lambda level, prompt: "I cannot."))
    assert (end.stopped, end.method.text, end.score.rate) == ("no_candidate", load_method().text, 0.6)
    assert [candidate.proposal.attempts for candidate in end.log[1].candidates] == [3] * 5


def test_one_candidate_of_five_is_enough() -> None:
    def rare(level: int, prompt: Prompt) -> str:
        return World.raised(level, prompt) if prompt.seed % 3 == 1 and prompt.seed % 2 else "I cannot."

    end = run(World(rare), replace(CONFIG, steps=1, attempts=1))
    outcomes = [candidate.proposal.outcome for candidate in end.log[1].candidates]
    assert 1 <= outcomes.count("method") < 5
    assert end.score.rate == 0.3


def test_rows_without_evolution_or_response_count_as_failed_by_their_reason() -> None:
    def reply(prompt: Prompt) -> str:
        if "row 0" in prompt.text:
            return "Methods: none"
        if "row 2" in prompt.text and "Task:" not in prompt.text:
            return ""
        task = prompt.text.rsplit("Task:\n", 1)[-1]
        return f"Final rewritten instruction: Harder {task}" if "Task:" in prompt.text else "Please provide it."

    engine = ScriptedEngine(Script(refuse_text="row 1"), reply)
    config = replace(CONFIG, steps=0)
    end = asyncio.run(optimise(config, POOL, DEV[:4], Engines(engine, engine, engine), None, lambda state: None))
    assert end.score.failures == {
        "PromptRefused": 1,
        "empty_response": 1,
        "no_final_instruction": 1,
        "please_provide": 1,
    }
    assert end.score.rate == 1.0


def test_a_method_that_changes_nothing_does_not_win() -> None:
    def copy(prompt: Prompt) -> str:
        task = prompt.text.rsplit("Task:\n", 1)[-1]
        return f"Final rewritten instruction: {task}" if "Task:" in prompt.text else "It is so."

    engines = Engines(*[ScriptedEngine(reply=copy)] * 3)
    config = replace(CONFIG, steps=0, rules=Elimination())
    end = asyncio.run(optimise(config, POOL, DEV, engines, None, lambda state: None))
    assert end.score.failures == {"unchanged": 10}


def test_no_two_prompts_share_a_seed() -> None:
    world = World()
    run(world)
    assert len({prompt.seed for prompt in world.prompts}) == len(world.prompts)


def test_a_dead_engine_is_asked_nothing_more() -> None:
    engine = ScriptedEngine(Script(die_after=5, decode_rate=4000), World().reply)

    async def calls() -> tuple[int, int]:
        with pytest.raises(EngineDied):
            await optimise(CONFIG, POOL, DEV, Engines(engine, engine, engine), None, lambda state: None)
        at_death = engine.calls
        await asyncio.sleep(0.1)
        return at_death, engine.calls

    at_death, later = asyncio.run(calls())
    assert at_death == later


def test_a_dead_engine_ends_the_search_at_its_last_step() -> None:
    saved = list[OptimiserState]()
    with pytest.raises(EngineDied):
        run(World(), on_step=saved.append, script=Script(die_after=60))
    assert [len(state.log) for state in saved] == [1]
    assert run(World(), state=saved[-1]).to_json() == run(World()).to_json()


@pytest.mark.parametrize(
    "other",
    [
        replace(CONFIG, seed=1),
        replace(CONFIG, candidates=4),
        replace(CONFIG, rules=Elimination()),
        replace(CONFIG, models=Models("small", "small", "small")),
    ],
)
def test_a_state_of_another_search_is_refused(other: SearchConfig) -> None:
    state = run(World(), replace(CONFIG, steps=0))
    with pytest.raises(SearchError, match="belongs to another search"):
        run(World(), other, state=state)


def test_other_rows_or_prompts_are_another_search(tmp_path: Path) -> None:
    state = run(World(), replace(CONFIG, steps=0))
    config = replace(CONFIG, steps=0)
    with pytest.raises(SearchError, match="belongs to another search"):
        asyncio.run(optimise(config, POOL, DEV[::-1], World().engines(), state, lambda state: None))
    (tmp_path / "auto_evol").mkdir()
    (tmp_path / "auto_evol/analyse.txt").write_text("What went wrong? {trajectories}")
    with pytest.raises(SearchError, match="belongs to another search"):
        run(World(), replace(config, templates=tmp_path), state=state)


def test_too_few_rows() -> None:
    with pytest.raises(SearchError, match="the dev set: expected at least 1 row, got none"):
        asyncio.run(optimise(CONFIG, POOL, [], World().engines(), None, lambda state: None))
    with pytest.raises(SearchError, match="the mini-batch: 4 rows asked for, but there are only 3"):
        asyncio.run(optimise(CONFIG, POOL[:3], DEV, World().engines(), None, lambda state: None))


def test_rows_are_set_aside_without_overlap_and_repeatably() -> None:
    aside = set_aside(seeds=100, dev=10, pool=30, minibatch=5, rng_seed=0)
    assert (len(aside.dev), len(aside.pool)) == (10, 30)
    assert len({*aside.dev, *aside.pool} & set(range(100))) == 40
    assert aside == set_aside(100, 10, 30, 5, 0)
    assert aside != set_aside(100, 10, 30, 5, 1)
    assert len(set_aside(20, 10, 2000, 10, 0).pool) == 10


@pytest.mark.parametrize(
    ("seeds", "dev", "pool", "problem"),
    [
        (40, 50, 2000, "the dev set: 50 rows asked for, but there are only 40 seeds"),
        (100, 0, 2000, "the dev set: expected at least 1 row, got 0"),
        (55, 50, 2000, "the mini-batch: 10 rows asked for, but 5 of 55 seeds are set aside for it"),
        (100, 50, 5, "the mini-batch: 10 rows asked for, but 5 of 100 seeds are set aside for it"),
    ],
)
def test_too_few_seeds(seeds: int, dev: int, pool: int, problem: str) -> None:
    with pytest.raises(SearchError, match=problem):
        set_aside(seeds, dev, pool, 10, 0)


def test_a_state_comes_back_as_it_was_saved_and_nothing_else_does() -> None:
    state = run(World(), replace(CONFIG, steps=1))
    assert OptimiserState.from_json(state.to_json(), "state.json") == state
    with pytest.raises(SearchError, match=r"state\.json: expected the state of a search: .*Invalid JSON"):
        OptimiserState.from_json(b"{", "state.json")
    with pytest.raises(SearchError, match=r"state\.json: expected the state of a search: method: Field required"):
        OptimiserState.from_json(b'{"search": "x", "log": []}', "state.json")
    with pytest.raises(SearchError, match=r"state\.json: expected the state of a search: steps: Unexpected keyword"):
        OptimiserState.from_json(state.to_json()[:-2].rstrip() + b', "steps": 3}', "state.json")
