"""Who listens hears of each round as it ends, and of each piece of a completion."""

from __future__ import annotations

import asyncio
from random import Random

from evolve.flow import drive
from evolve.listening import PIECE, ROUND
from evolve.records import Instruction, Prompt, Round, Sampling
from evolve.strategies.elimination import Elimination
from evolve.strategies.evol_instruct import EvolInstruct, operator_order
from evolve.testing.scripted_engine import Script, ScriptedEngine


def test_rounds_are_told_one_by_one_and_are_those_that_come_out() -> None:
    engine = ScriptedEngine()
    told: list[tuple[int, Round]] = []

    async def evolved() -> list[Round]:
        ROUND.set(lambda result: told.append((engine.calls, result)))
        strategy = EvolInstruct(3, operator_order(True, False), Sampling(), Elimination.none())
        return await drive(strategy.evolve(Instruction("Why?"), 0, Random(0)), engine)

    rounds = asyncio.run(evolved())
    assert [result for _, result in told] == rounds
    assert [calls for calls, _ in told] == [1, 2, 3]


def test_the_pieces_of_a_scripted_completion_are_its_text() -> None:
    async def pieces(script: Script) -> tuple[list[str], str]:
        heard: list[str] = []
        PIECE.set(heard.append)
        return heard, (await ScriptedEngine(script).generate(Prompt.user("a", Sampling(), 0))).text

    for script, many in ((Script(), False), (Script(decode_rate=4000), True)):
        heard, text = asyncio.run(pieces(script))
        assert "".join(heard) == text
        assert (len(heard) > 3) == many
