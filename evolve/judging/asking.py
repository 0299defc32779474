"""One prompt to a judge, and what becomes of a reply that cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random

from evolve.errors import PromptRefused
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Completion, Failed, Message, Prompt, Sampling
from evolve.strategies.rounds import draw_seed


def ask(messages: tuple[Message, ...], sampling: Sampling, rng: Random) -> Flow[Completion | Failed]:
    """Put one prompt; a prompt that the engine refuses is a failure of the case."""
    try:
        return (yield Prompt(messages, sampling, draw_seed(rng)))
    except PromptRefused as refused:
        return Failed(type(refused).__name__, str(refused))


def digest(name: str, templates: Sequence[Template], sampling: Sampling) -> str:
    """A fingerprint of a question."""
    parts = [name, *(template.digest() for template in templates), repr(sampling)]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
