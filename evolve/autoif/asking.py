"""One question to the engine, whose refusal is an outcome like any other."""

from __future__ import annotations

from random import Random

from evolve.autoif.records import Dropped, Kind, Reply, Step
from evolve.errors import PromptRefused
from evolve.flow import Flow
from evolve.records import Message, Prompt, Sampling
from evolve.strategies.rounds import draw_seed, usage_of


def ask(
    step: Step, kind: Kind, messages: tuple[Message, ...], sampling: Sampling, rng: Random
) -> Flow[Reply | Dropped]:
    """Ask once. A prompt that the engine refuses falls as a `kind` with the reason "refused"."""
    try:
        completion = yield Prompt(messages, sampling, draw_seed(rng))
    except PromptRefused as refused:
        return Dropped(step, kind, "refused", "", str(refused))
    return Reply(completion.text, completion.finish_reason == "length", usage_of(completion))
