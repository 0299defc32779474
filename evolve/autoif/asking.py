"""One question to the engine, whose refusal is an outcome like any other."""

from __future__ import annotations

from random import Random

from evolve.autoif.records import Dropped, Kind, Reply, Step
from evolve.errors import PromptRefused
from evolve.flow import Flow
from evolve.records import UNFINISHED_REASONING, Form, Message, Prompt, Sampling, Usage
from evolve.strategies.rounds import draw_seed, usage_of


def ask(
    step: Step,
    kind: Kind,
    messages: tuple[Message, ...],
    sampling: Sampling,
    rng: Random,
    form: Form | None = None,
    answers: tuple[str, ...] = (),
) -> Flow[tuple[Reply | Dropped, Usage]]:
    """Ask once: the reply, and what it cost. The probabilities of `answers` are asked for.

    A prompt that the engine refuses falls as a `kind` with the reason "refused", a reply whose thoughts did not end as
    one with the reason "unfinished_reasoning".
    """
    try:
        completion = yield Prompt(messages, sampling, draw_seed(rng), form=form, answers=answers)
    except PromptRefused as refused:
        return Dropped(step, kind, "refused", "", str(refused)), Usage()
    usage = usage_of(completion)
    if not completion.reasoning_ended:
        return Dropped(step, kind, UNFINISHED_REASONING, completion.reasoning), usage
    return Reply(completion.text, completion.finish_reason == "length", completion.probabilities), usage
