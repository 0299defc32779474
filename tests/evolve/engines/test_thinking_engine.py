"""A real model under a chat template that opens its thoughts: one vLLM engine on the CPU, asked once for all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.evolve.engines.test_real_engines import ENVIRONMENT
from tests.thinking_model import TEMPLATE

BUDGET, CONTEXT = 4, 128
QUESTION = "What is the capital of France?"
SCRIPT = """
import asyncio, json, sys
from dataclasses import asdict
from evolve.engines.chat import Chat
from evolve.engines.vllm_engine import VllmEngine
from evolve.records import Message, Prompt, Sampling

async def main():
    model, template, budget, context, prompts = json.loads(sys.argv[1])
    arguments = {"dtype": "float32", "enforce_eager": True, "max_model_len": context, "max_num_seqs": 8}
    engine = VllmEngine(model, arguments, Chat("Be brief.", {"tone": "calm"}, template), "auto", budget)
    def made(turns, fields):
        return Prompt(tuple(Message(*turn) for turn in turns), Sampling(**fields), 1, True)
    done = await asyncio.gather(*(engine.generate(made(*prompt)) for prompt in prompts.values()))
    await engine.close()
    print(json.dumps({"found": engine.reasoning, **{name: asdict(item) for name, item in zip(prompts, done)}}))

if __name__ == "__main__":
    asyncio.run(main())
"""
# the model would end its turn where it likes
GREEDY = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 16, "extra": {"min_tokens": 16}}
FULL = "word " * (CONTEXT - 37)
PROMPTS: dict[str, Any] = {
    "asked": ([["user", QUESTION]], GREEDY),
    "own system": ([["system", "Answer in one word, and in no more than that."], ["user", QUESTION]], GREEDY),
    "no room": ([["user", FULL + "Say it again."]], {**GREEDY, "extra": {}}),
}

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def replies(smollm2_dir: Path) -> dict[str, Any]:
    """What the engine makes of each prompt, and what it found about its model."""
    given = json.dumps([str(smollm2_dir), TEMPLATE, BUDGET, CONTEXT, PROMPTS])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def tokens(model: Path, *turns: tuple[str, str]) -> int:
    """The length of a prompt by the tokenizer alone."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    messages = [{"role": role, "content": content} for role, content in turns]
    encoded: Any = tokenizer.apply_chat_template(
        messages, chat_template=TEMPLATE, add_generation_prompt=True, return_dict=True, tone="calm"
    )
    return len(encoded["input_ids"])


def test_the_template_tells_how_the_model_thinks(replies: dict[str, Any]) -> None:
    assert replies["found"].startswith("qwen3")


def test_system_prompt_and_arguments_are_in_the_prompts_tokens(replies: dict[str, Any], smollm2_dir: Path) -> None:
    expected = tokens(smollm2_dir, ("system", "Be brief."), ("user", QUESTION))
    assert replies["asked"]["prompt_tokens"] == expected
    (system, *_), _ = PROMPTS["own system"]
    assert replies["own system"]["prompt_tokens"] == tokens(smollm2_dir, tuple(system), ("user", QUESTION))


def test_thoughts_are_bounded_and_stand_apart_from_the_answer(replies: dict[str, Any]) -> None:
    reply = replies["asked"]
    assert reply["reasoning_ended"]
    assert reply["reasoning"]
    assert reply["text"]
    assert "think>" not in reply["text"] + reply["reasoning"]
    assert BUDGET <= reply["reasoning_tokens"] < reply["completion_tokens"]
    assert reply["completion_tokens"] <= BUDGET + GREEDY["max_tokens"]


def test_confidence_is_of_the_answers_tokens(replies: dict[str, Any]) -> None:
    reply = replies["asked"]
    positions = sum(reply["confidence"]["first"]) + sum(reply["confidence"]["rest"])
    assert positions == reply["completion_tokens"] - reply["reasoning_tokens"]


def test_thoughts_that_did_not_end_leave_no_answer(replies: dict[str, Any]) -> None:
    reply = replies["no room"]
    assert (reply["text"], reply["reasoning_ended"]) == ("", False)
    assert reply["reasoning_tokens"] == reply["completion_tokens"]
