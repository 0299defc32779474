"""Several draws of one prompt as one completion, whichever engine they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from evolve.errors import PromptRefused
from evolve.records import Completion


def joined(draws: Sequence[Callable[[], Completion]], prompt_tokens: int) -> Completion:
    """The completions that `draws` make, of a prompt that was read once.

    One that is withheld or refused leaves the others. Raises its PromptRefused where all are, or it is the only one.
    """
    made, refused = list[Completion](), list[PromptRefused]()
    for draw in draws:
        try:
            made.append(draw())
        except PromptRefused as withheld:
            refused.append(withheld)
            made.append(Completion("", "stop", 0, 0, withheld=withheld.reason))
    if len(refused) == len(draws):
        raise refused[0]
    first, *others = made
    rest = tuple(replace(other, prompt_tokens=0) for other in others)
    return replace(first, prompt_tokens=prompt_tokens, others=rest)


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` whole things shared out by weights, to the last of them; equally where all weights are 0."""
    weights = weights if any(weights) else [1] * len(weights)
    whole, given, seen = sum(weights), 0, 0
    found = []
    for weight in weights:
        seen += weight
        upto = round(total * seen / whole)
        found.append(upto - given)
        given = upto
    return found
