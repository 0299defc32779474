"""Several completions of one prompt: in one request where the server can, each with its own ending and tokens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from evolve.engines.openai_engine import OpenAIEngine
from evolve.engines.several import shares
from evolve.errors import ReplyWithheld
from evolve.records import Completion, Prompt, Sampling
from evolve.testing.scripted_engine import Script, ScriptedEngine
from tests.evolve.engines.loopback import Answer, completion, loopback

PROMPT = replace(Prompt.user("Name a river.", Sampling(), 40), draws=4)
COUNTS = {"prompt_tokens": 9, "completion_tokens": 40}


def choices(*contents: dict[str, Any]) -> Answer:
    status, body = completion(usage=COUNTS)
    made = [{"index": place, "finish_reason": "stop", "message": {"content": "Nile"}} for place in range(len(contents))]
    body["choices"] = [choice | given for choice, given in zip(made, contents, strict=True)]
    return status, body


def drawn(url: str, prompt: Prompt = PROMPT) -> Completion:
    async def main() -> Completion:
        engine = OpenAIEngine(url, "m", "NO_SUCH_KEY", 5, 0)
        try:
            return await engine.generate(prompt)
        finally:
            await engine.close()

    return asyncio.run(main())


def test_a_server_is_asked_once_and_its_tokens_are_shared_out() -> None:
    texts = ["Nile", "Amazon, in the south", "", "<think>Which?</think>Rhine"]
    with loopback(lambda _: choices(*({"message": {"content": text}} for text in texts))) as server:
        found = drawn(server.url)
    assert [body["n"] for body in server.bodies] == [4]
    assert [draw.text for draw in found.drawn] == ["Nile", "Amazon, in the south", "", "Rhine"]
    assert found.drawn[3].reasoning == "Which?"
    assert [draw.prompt_tokens for draw in found.drawn] == [9, 0, 0, 0]
    assert found.tokens_written == 40
    assert found.drawn[1].completion_tokens > found.drawn[0].completion_tokens > found.drawn[2].completion_tokens == 0


def test_one_that_is_cut_or_withheld_leaves_the_others() -> None:
    given: list[dict[str, Any]] = [
        {},
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"error": {"message": "gone"}},
    ]
    with loopback(lambda _: choices(*given)) as server:
        found = drawn(server.url)
    assert [draw.finish_reason for draw in found.drawn[:2]] == ["stop", "length"]
    assert [draw.withheld for draw in found.drawn] == ["", "", "content_filter", ""]


def test_where_all_are_withheld_the_prompt_has_failed() -> None:
    with (
        loopback(lambda _: choices(*[{"finish_reason": "content_filter"}] * 4)) as server,
        pytest.raises(ReplyWithheld) as raised,
    ):
        drawn(server.url)
    assert raised.value.reason == "content_filter"


@pytest.mark.parametrize("refuses", ["parameter 'n' is not supported", "n: expected 1, got 4", ""])
def test_a_server_that_gives_one_at_a_time_is_asked_for_each(refuses: str) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if refuses and "n" in body:
            return 400, {"error": {"message": refuses}}
        return completion(content=f"River {body['seed']}")

    with loopback(answer) as server:
        found = drawn(server.url)
    assert [draw.text for draw in found.drawn] == [f"River {seed}" for seed in range(40, 44)]
    assert [draw.prompt_tokens for draw in found.drawn] == [4 * 7, 0, 0, 0]
    assert ["n" in body for body in server.bodies] == [True] + [False] * (4 if refuses else 3)


def test_one_that_is_refused_alone_leaves_those_that_were_paid_for() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if body["seed"] == 42:
            return 400, {"error": {"message": "this prompt cannot be completed"}}
        return completion(content=f"River {body['seed']}")

    with loopback(answer) as server:
        found = drawn(server.url)
    assert [draw.text for draw in found.drawn] == ["River 40", "River 41", "", "River 43"]
    assert [draw.withheld for draw in found.drawn] == ["", "", "PromptRefused", ""]
    assert found.prompt_tokens == 3 * 7


def test_the_scripted_engine_draws_by_the_seeds_that_follow() -> None:
    engine = ScriptedEngine(Script(sigma=0.5))
    found = asyncio.run(engine.generate(PROMPT))
    alone = [
        asyncio.run(engine.generate(replace(PROMPT, draws=1, seed=PROMPT.seed + place))).text for place in range(4)
    ]
    assert [draw.text for draw in found.drawn] == alone
    assert len({draw.completion_tokens for draw in found.drawn}) > 1
    assert [bool(draw.prompt_tokens) for draw in found.drawn] == [True, False, False, False]


def test_shares_add_up_to_the_whole() -> None:
    assert shares(10, [1, 1, 1]) == [3, 4, 3]
    assert shares(7, [0, 0]) == [4, 3]
    assert sum(shares(1009, [3, 0, 14, 1, 59])) == 1009
