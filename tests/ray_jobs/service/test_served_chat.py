"""The engines as OpenAI's clients expect them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from evolve.records import Completion, Form, Prompt, Sampling
from evolve.testing.scripted_engine import Script, ScriptedEngine
from ray_jobs.service.chat import ChatRequest, Reply
from ray_jobs.service.engine_worker import EngineWorker
from ray_jobs.service.work import Call, Trouble
from tests.ray_jobs.service.warm import Warm

HELLO: dict[str, Any] = {"model": "large", "messages": [{"role": "user", "content": "Hello"}], "seed": 1}


@pytest.fixture(scope="module")
def client() -> TestClient:
    return Warm().client()


def test_models_are_the_engines_that_chat(client: TestClient) -> None:
    found = {item["id"]: item["root"] for item in client.get("/v1/models").json()["data"]}
    assert found == {"small": "tiny", "large": "scripted", "respond": "scripted"}
    assert client.get("/v1/models/small").json()["id"] == "small"
    assert client.get("/v1/models/none").status_code == 404


def test_a_chat_is_completed_whole_or_in_pieces_with_the_same_text(client: TestClient) -> None:
    whole = client.post("/v1/chat/completions", json=HELLO).json()
    text = whole["choices"][0]["message"]["content"]
    assert whole["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 40,
        "total_tokens": 41,
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    asked = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
    lines = [line for line in client.post("/v1/chat/completions", json=asked).text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    pieces = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    told = [piece["choices"][0]["delta"].get("content", "") for piece in pieces if piece["choices"]]
    assert "".join(told) == text
    assert len(told) > 5
    assert pieces[-2]["choices"][0]["finish_reason"] == "stop"
    assert pieces[-1]["usage"] == whole["usage"]


def test_a_request_says_what_engines_are_asked() -> None:
    fields = {
        **HELLO,
        "messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "He"}, {"type": "text", "text": "llo \ud800"}]},
        ],
        "max_completion_tokens": 7,
        "temperature": 0,
        "stop": "END",
        "structured_outputs": {"choice": ["a", "b"]},
        "user": "x",
        "logprobs": False,
        "tools": [],
    }
    prompt = ChatRequest.model_validate(fields).prompt("adapter")
    assert [(item.role, item.content) for item in prompt.messages] == [("system", "Be short."), ("user", "Hello ?")]
    assert prompt.sampling == Sampling(0, None, 7, ("END",), None, None, None, None)
    assert (prompt.seed, prompt.adapter, prompt.form) == (1, "adapter", Form(choices=("a", "b")))
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
    form = ChatRequest.model_validate({**HELLO, "response_format": schema}).prompt(None).form
    assert form == Form(schema='{"type": "object"}')


@pytest.mark.parametrize(
    ("priority", "header", "urgency"),
    [
        (None, None, 3),
        (0, "u=7", 3),
        (1, None, 4),
        (99, None, 7),
        (None, "u=5", 5),
        (None, "i, u=6", 6),
        (None, "u=0", 3),
        (None, "u=9", 3),
        (None, "soon", 3),
    ],
)
def test_how_urgent_it_is(priority: int | None, header: str | None, urgency: int) -> None:
    assert ChatRequest.model_validate({**HELLO, "priority": priority}).urgency(header) == urgency


@pytest.mark.parametrize(
    ("changed", "status", "word"),
    [
        ({"model": "gpt-9"}, 404, "small"),
        ({"model": "score"}, 404, "expected"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, 400, "messages"),
        ({"temperature": 3}, 400, "temperature"),
        ({"n": 2, "stream": True}, 400, "n: expected 1"),
        ({"n": 129}, 400, "n"),
        ({"logprobs": True}, 400, "logprobs: is not supported"),
        ({"tools": [{"type": "function"}]}, 400, "tools: is not supported"),
        ({"chat_template": "x"}, 400, "chat_template"),
        ({"response_format": {"type": "json_schema"}}, 400, "json_schema"),
        ({"messages": [{"role": "user", "content": "forbidden words"}]}, 400, "refuses"),
        ({"messages": [{"role": "user", "content": "forbidden words"}], "stream": True}, 400, "refuses"),
    ],
)
def test_what_cannot_be_done_is_said(client: TestClient, changed: dict[str, Any], status: int, word: str) -> None:
    answer = client.post("/v1/chat/completions", json={**HELLO, **changed})
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]


def test_several_answers_are_drawn_in_one_request(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json={**HELLO, "n": 3, "temperature": 1}).json()
    alone = client.post("/v1/chat/completions", json=HELLO).json()["usage"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["prompt_tokens"] == alone["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] >= 3


def test_an_answer_that_is_withheld_leaves_the_others() -> None:
    completion = Completion("Four.", "stop", 3, 2, others=(Completion("", "stop", 0, 0, withheld="ReplyWithheld"),))
    choices = Reply(ChatRequest.model_validate({**HELLO, "n": 2})).whole(completion)["choices"]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "content_filter"]


def test_thoughts_are_told_apart() -> None:
    request = ChatRequest.model_validate({**HELLO, "stream": True})
    completion = Completion("Four.", "stop", 3, 9, reasoning="Two and two.", reasoning_tokens=6)
    assert Reply(request).whole(completion)["choices"][0]["message"]["reasoning_content"] == "Two and two."
    deltas = [piece["choices"][0]["delta"] for piece in Reply(request).last(completion)]
    assert deltas == [{"reasoning_content": "Two and two."}, {"content": "Four."}, {}]


def test_batch_work_leaves_places_to_people() -> None:
    async def under_way(urgency: int, number: int) -> int:
        engine = ScriptedEngine(Script(slots=4, decode_rate=1))
        worker = EngineWorker(engine, free=1)
        calls = [
            asyncio.ensure_future(worker.complete(Call(Prompt.user(f"{item}", Sampling(), 0), urgency)))
            for item in range(number)
        ]
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        return engine.calls

    assert asyncio.run(under_way(5, 10)) == 3
    assert asyncio.run(under_way(3, 10)) == 10


def test_whoever_stops_listening_ends_the_work() -> None:
    async def listened() -> int:
        engine = ScriptedEngine(Script(slots=1, decode_rate=100))
        worker = EngineWorker(engine, free=0)
        pieces = worker.stream(Call(Prompt.user("a", Sampling(), 0)))
        await anext(pieces)
        await pieces.aclose()
        found = await asyncio.wait_for(worker.complete(Call(Prompt.user("b", Sampling(), 0))), 2)
        assert not isinstance(found, Trouble)
        return engine.calls

    assert asyncio.run(listened()) == 2
