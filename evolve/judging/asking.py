"""One prompt to a judge, and what becomes of a reply that cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random

from evolve.described import described
from evolve.errors import PromptRefused
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import UNFINISHED_REASONING, Completion, Failed, Form, Message, Prompt, Rejected, Sampling
from evolve.strategies.rounds import draw_seed, usage_of


def ask(
    messages: tuple[Message, ...],
    sampling: Sampling,
    rng: Random,
    form: Form | None = None,
    answers: tuple[str, ...] = (),
) -> Flow[Completion | Rejected | Failed]:
    """Put one prompt; one that the engine refuses is a failure of the case, a reply that only thinks rejects it.

    The probabilities of `answers` are asked for.
    """
    try:
        reply = yield Prompt(messages, sampling, draw_seed(rng), form=form, answers=answers)
    except PromptRefused as refused:
        return Failed(refused.reason, str(refused))
    if not reply.reasoning_ended:
        return Rejected(UNFINISHED_REASONING, reply.reasoning, "", usage_of(reply), reply.finish_reason)
    return reply


def digest(name: str, templates: Sequence[Template], sampling: Sampling, form: Form | None = None) -> str:
    """A fingerprint of a question."""
    parts = [name, *(template.digest() for template in templates), described(sampling), *([repr(form)] if form else [])]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
