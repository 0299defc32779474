"""An engine that asks nothing twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from evolve.errors import PromptRefused
from evolve.records import Completion, Message, Prompt, Sampling
from evolve.replies import REPLIES, JournalEngine, Reply, RowReplies
from evolve.testing.scripted_engine import Script, ScriptedEngine

PROMPT = Prompt.user("Name a river.", Sampling(), seed=7, measure_confidence=True)


class Row:
    """One row's replies, of which new ones are known when it begins again."""

    def __init__(self, **script: str) -> None:
        self.kept: list[Reply] = []
        self.given: list[Completion] = []
        self.inner = ScriptedEngine(Script(**script))  # type: ignore[arg-type]

    def ask(self, prompt: Prompt) -> Completion:
        async def asked() -> Completion:
            REPLIES.set(RowReplies(3, self.kept, self.kept.append, self.given.append))
            return await JournalEngine(self.inner).generate(prompt)

        return asyncio.run(asked())


def test_a_reply_is_given_again() -> None:
    row = Row()
    first = row.ask(PROMPT)
    assert row.ask(PROMPT) == first == row.given[0]
    assert (row.inner.calls, [reply.row for reply in row.kept]) == (1, [3])


@pytest.mark.parametrize(
    "other",
    [
        replace(PROMPT, messages=(Message("user", "Name a lake."),)),
        replace(PROMPT, messages=(Message("system", "Be short."), *PROMPT.messages)),
        replace(PROMPT, seed=8),
        replace(PROMPT, sampling=Sampling(temperature=0)),
        replace(PROMPT, measure_confidence=False),
    ],
)
def test_whatever_differs_is_asked(other: Prompt) -> None:
    row = Row()
    row.ask(PROMPT)
    row.ask(other)
    assert (row.inner.calls, row.given) == (2, [])


def test_a_refusal_is_given_again() -> None:
    row = Row(refuse_text="river")
    for _ in range(2):
        with pytest.raises(PromptRefused, match="'river'"):
            row.ask(PROMPT)
    assert (row.inner.calls, row.given) == (1, [])


def test_halves_of_surrogate_pairs_are_asked_as_they_are() -> None:
    row = Row()
    for _ in range(2):
        row.ask(Prompt.user("Name \ud83d.", Sampling(), seed=7))
    assert row.inner.calls == 1


def test_outside_of_rows_everything_is_asked() -> None:
    inner = ScriptedEngine()
    for _ in range(2):
        asyncio.run(JournalEngine(inner).generate(PROMPT))
    assert inner.calls == 2
