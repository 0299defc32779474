"""The scripted engine: what derives from what, its batching model, and the failures it is asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Literal

import pytest

from evolve.errors import EngineDied, PromptRefused
from evolve.method_search.propose import parse_method
from evolve.records import Completion, Prompt, Sampling
from evolve.strategies.reply_sections import parse_reply
from evolve.testing.scripted_engine import Script, ScriptedEngine, scripted_reply


def prompt(text: str = "a task", seed: int = 0, max_tokens: int = 2048, confidence: bool = False) -> Prompt:
    return Prompt.user(text, Sampling(max_tokens=max_tokens), seed, confidence)


def ask(engine: ScriptedEngine, *prompts: Prompt) -> list[Completion]:
    async def together() -> list[Completion]:
        return await asyncio.gather(*map(engine.generate, prompts))

    return asyncio.run(together())


def refused(script: Script, asked: Prompt) -> bool:
    try:
        ask(ScriptedEngine(script), asked)
    except PromptRefused:
        return True
    return False


def test_replies_derive_from_text_and_seed_alone() -> None:
    prompts = [prompt("a"), prompt("b"), prompt("a", seed=1)]
    texts = [item.text for item in ask(ScriptedEngine(), *prompts)]
    assert len(set(texts)) == 3
    assert [item.text for item in ask(ScriptedEngine(), *prompts[::-1])] == texts[::-1]
    assert texts[0] == scripted_reply(prompts[0])


def test_lengths_are_lognormal_and_repeatable() -> None:
    script = Script(median_tokens=100, sigma=0.5)
    prompts = [prompt(seed=number) for number in range(400)]
    lengths = [item.completion_tokens for item in ask(ScriptedEngine(script), *prompts)]
    assert [item.completion_tokens for item in ask(ScriptedEngine(script), *prompts)] == lengths
    assert 90 < median(lengths) < 110
    # e^0.5 = 1.65: about 16 % of a log-normal lies above median x e^sigma.
    assert 0.10 < sum(length > 165 for length in lengths) / 400 < 0.22


def test_max_tokens_cuts_a_completion_off() -> None:
    [cut, whole] = ask(ScriptedEngine(Script(median_tokens=40)), prompt(max_tokens=39), prompt(max_tokens=40))
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 39)
    assert (whole.finish_reason, whole.completion_tokens) == ("stop", 40)


def test_prompt_tokens_and_confidence() -> None:
    [short, long] = ask(ScriptedEngine(), prompt("ab"), prompt("x" * 40, confidence=True))
    assert (short.prompt_tokens, short.mean_top1_prob) == (1, None)
    assert (long.prompt_tokens, long.mean_top1_prob) == (10, 0.5)


def seconds(slots: int) -> float:
    engine = ScriptedEngine(Script(slots=slots, decode_rate=400, median_tokens=40))
    began = time.perf_counter()
    ask(engine, *(prompt(seed=number) for number in range(8)))
    return time.perf_counter() - began


def test_a_request_waits_for_a_free_slot() -> None:
    assert seconds(slots=2) >= 4 * 0.1
    assert 0.1 <= seconds(slots=8) < 4 * 0.1


def test_prefill_takes_time_too() -> None:
    began = time.perf_counter()
    ask(ScriptedEngine(Script(prefill_rate=100)), prompt("x" * 40))
    assert time.perf_counter() - began >= 0.1


def test_a_share_of_prompts_is_refused_always_the_same_ones() -> None:
    script = Script(refuse_share=0.25)
    first = [refused(script, prompt(seed=number)) for number in range(200)]
    assert first == [refused(script, prompt(seed=number)) for number in range(200)]
    assert 30 < sum(first) < 70


def test_prompts_with_the_refused_text_are_refused() -> None:
    assert refused(Script(refuse_text="bad"), prompt("a bad task"))
    assert not refused(Script(refuse_text="bad"), prompt("a good task"))


def test_text_that_no_encoding_takes_is_answered() -> None:
    [item] = ask(ScriptedEngine(Script(sigma=0.5)), prompt("half a pair \ud800"))
    assert item.text


def test_the_engine_dies_at_the_scripted_call_and_stays_dead() -> None:
    engine = ScriptedEngine(Script(die_after=3))
    ask(engine, prompt(), prompt())
    for call in (3, 4):
        with pytest.raises(EngineDied, match=f"call {call}"):
            ask(engine, prompt())


def test_with_marks_only_the_first_engine_dies(tmp_path: Path) -> None:
    script = Script(die_after=1, marks=str(tmp_path))
    with pytest.raises(EngineDied):
        ask(ScriptedEngine(script), prompt())
    assert ask(ScriptedEngine(script), prompt())


def test_the_engine_can_take_its_process_with_it() -> None:
    program = (
        "import asyncio\n"
        "from evolve.records import Prompt, Sampling\n"
        "from evolve.testing.scripted_engine import Script, ScriptedEngine\n"
        "engine = ScriptedEngine(Script(die_after=1, exit_code=7))\n"
        "asyncio.run(engine.generate(Prompt.user('a', Sampling(), 0)))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7


def test_the_call_log_has_one_line_a_call(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    engine = ScriptedEngine(Script(call_log=str(log), refuse_text="bad"))
    ask(engine, prompt("a"), prompt("b"), prompt("a"))
    with pytest.raises(PromptRefused):
        ask(engine, prompt("bad"))
    lines = log.read_text().splitlines()
    assert len(lines) == engine.calls == 4
    assert lines[0] == lines[2] != lines[1]


def test_the_slot_log_says_when_slots_were_taken(tmp_path: Path) -> None:
    log = tmp_path / "slots"
    ask(ScriptedEngine(Script(slots=1, decode_rate=400, slot_log=str(log))), prompt("a"), prompt("b"))
    first, second = ([float(part) for part in line.split()] for line in log.read_text().splitlines())
    assert first[1] - first[0] >= 0.1
    assert second[0] >= first[1]


def test_closing_twice_does_no_harm() -> None:
    engine = ScriptedEngine()
    asyncio.run(engine.close())
    asyncio.run(engine.close())


@pytest.mark.parametrize("reply", ["auto_evol", "method"])
def test_parts_of_auto_evol_instruct_break_off_for_a_quarter_of_the_prompts(
    reply: Literal["auto_evol", "method"],
) -> None:
    engine = ScriptedEngine(Script(reply=reply))
    texts = [item.text for item in ask(engine, *(prompt(f"Task {number}.") for number in range(400)))]
    if reply == "auto_evol":
        results = [parse_reply(text).final for text in texts]
        assert all(parse_reply(text).methods == ("narrow the topic", "ask for a reason") for text in texts)
    else:
        results = [parse_method(text) if "<method>" in text else None for text in texts]
    whole = [result for result in results if result is not None]
    assert 80 < results.count(None) < 120
    assert len(set(whole)) == len(whole)
