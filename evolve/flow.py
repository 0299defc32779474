"""Strategies as generators: they yield prompts, receive completions and return their outcome.

A flow does no I/O and knows no engine, so one strategy serves vLLM, an HTTP server and a test alike,
and a thousand flows run side by side on one engine, each at its own speed.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from random import Random
from typing import Protocol, TypeVar

from evolve.engine import Engine
from evolve.errors import PromptRefused
from evolve.records import Completion, Instruction, Prompt, Round

Outcome = TypeVar("Outcome")
Flow = Generator[Prompt, Completion, Outcome]


class Strategy(Protocol):
    """A way to evolve instructions.

    `evolve` returns exactly `rounds` results, in order; a round that fails leaves its parent for the next one.
    `index` is the seed's place in the plan (0-based), which round-robin rules need. `rng` is the only source
    of randomness and derives from the row, so that a row that runs again draws the same numbers.
    """

    @property
    def name(self) -> str:
        """The strategy's name in records."""
        ...

    @property
    def rounds(self) -> int:
        """How many results a seed gives."""
        ...

    def fingerprint(self) -> str:
        """A digest of everything that changes what the strategy produces: templates, operators, rules, sampling."""
        ...

    def evolve(self, seed: Instruction, index: int, rng: Random) -> Flow[list[Round]]:
        """The flow that takes one seed through all rounds."""
        ...


async def drive(flow: Flow[Outcome], engine: Engine, confidence: bool = True) -> Outcome:
    """Run one flow to its end against `engine`. With `confidence` off, no prompt asks for it: it costs the engine much.

    A prompt that the engine refuses is raised inside the flow, which decides what becomes of the round.
    Any other engine error ends the flow and propagates.
    """
    try:
        prompt = next(flow)
        while True:
            if prompt.measure_confidence and not confidence:
                prompt = replace(prompt, measure_confidence=False)
            try:
                completion = await engine.generate(prompt)
            except PromptRefused as refused:
                prompt = flow.throw(refused)
            else:
                prompt = flow.send(completion)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
