"""drive(): one flow against an engine, and what becomes of an engine's errors."""

from __future__ import annotations

import asyncio

import pytest

from evolve.errors import EngineDied, PromptRefused
from evolve.flow import Flow, drive
from evolve.records import Prompt, Sampling
from evolve.testing.scripted_engine import Script, ScriptedEngine


def prompt(text: str) -> Prompt:
    return Prompt.user(text, Sampling(), 0)


def echo() -> ScriptedEngine:
    return ScriptedEngine(Script(refuse_text="refuse"), reply=lambda asked: asked.text.upper())


def chain(*texts: str) -> Flow[list[str]]:
    replies = []
    for text in texts:
        try:
            replies.append((yield prompt(text)).text)
        except PromptRefused:
            replies.append("refused")
    return replies


def test_replies_come_back_in_order() -> None:
    assert asyncio.run(drive(chain("a", "b", "c"), echo())) == ["A", "B", "C"]


def test_a_flow_that_asks_nothing_ends_at_once() -> None:
    engine = echo()
    assert asyncio.run(drive(chain(), engine)) == []
    assert engine.calls == 0


def test_a_refused_prompt_is_the_flows_to_handle() -> None:
    assert asyncio.run(drive(chain("a", "refuse me", "b"), echo())) == ["A", "refused", "B"]
    assert asyncio.run(drive(chain("a", "refuse me"), echo())) == ["A", "refused"]


def test_a_refusal_that_the_flow_does_not_handle_propagates() -> None:
    def careless() -> Flow[str]:
        return (yield prompt("refuse me")).text

    with pytest.raises(PromptRefused):
        asyncio.run(drive(careless(), echo()))


def test_a_dead_engine_never_reaches_the_flow() -> None:
    with pytest.raises(EngineDied):
        asyncio.run(drive(chain("a", "b"), ScriptedEngine(Script(die_after=2))))


def test_an_error_of_the_flow_itself_propagates() -> None:
    def broken() -> Flow[str]:
        reply = yield prompt("a")
        raise ValueError(reply.text)

    with pytest.raises(ValueError, match="A"):
        asyncio.run(drive(broken(), echo()))


def test_flows_share_an_engine_each_at_its_own_speed() -> None:
    async def together() -> list[list[str]]:
        engine = ScriptedEngine(Script(slots=2, decode_rate=40_000), reply=lambda asked: asked.text.upper())
        return await asyncio.gather(*(drive(chain(*"abcdef"[:count]), engine) for count in range(6)))

    assert asyncio.run(together()) == [list("ABCDEF"[:count]) for count in range(6)]


def test_confidence_is_asked_for_only_where_the_caller_wants_it() -> None:
    def asking() -> Flow[bool]:
        reply = yield Prompt.user("a", Sampling(), 0, measure_confidence=True)
        return reply.confidence is not None

    assert asyncio.run(drive(asking(), echo()))
    assert not asyncio.run(drive(asking(), echo(), confidence=False))
