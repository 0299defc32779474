"""The probabilities of whole answers from vLLM: those that a reply tells, and short replies behind the ways it left."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from vllm import SamplingParams
from vllm.logprobs import FlatLogprobs
from vllm.outputs import CompletionOutput
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from evolve.alternatives import UNTOLD, Branch, Option, Position, Weighed, answer_start, fitting, remainder, weigh

LIKELIEST = 20
"""How many tokens of each position are asked for; no more than vLLM gives by default."""
MAX_TOKENS = 16
GoOn = Callable[[list[int], SamplingParams], Awaitable[CompletionOutput]]
"""Completes tokens."""


async def probabilities(
    answers: Sequence[str], tokens: Sequence[int], output: CompletionOutput, answer: str, go_on: GoOn
) -> tuple[float, ...] | None:
    """The probabilities of `answers` to the prompt `tokens`, whose reply `output` ends with `answer`.

    Branches that hold more than UNTOLD are gone on with, a short reply each; these count in no usage.
    """
    positions = _positions(output)
    start = answer_start(positions, answer)
    if start is None:
        return None
    before = [*tokens, *output.token_ids[:start]]
    found = await _weighed(answers, before, positions[start:], "", go_on)
    return found.shares() if found else None


async def _weighed(
    answers: Sequence[str], before: list[int], positions: Sequence[Position], begun: str, go_on: GoOn
) -> Weighed | None:
    found = weigh(answers, positions, begun)
    if found is None:
        return None

    async def follow(branch: Branch) -> None:
        tokens = [*before, *(position[0].token for position in positions[: branch.place]), branch.token]
        output = await go_on(tokens, _parameters(answers, branch.begun))
        more = await _weighed(answers, tokens, _positions(output), branch.begun, go_on)
        if more:
            found.take(branch, more)

    await asyncio.gather(*map(follow, _greatest(found)))
    return found


def _greatest(found: Weighed) -> list[Branch]:
    """The branches but for the smallest, which together hold half of what may stay open."""
    rest = sorted(found.branches, key=lambda branch: branch.probability)
    left = UNTOLD / 2 * (sum(found.told) + sum(branch.probability for branch in rest))
    while rest and rest[0].probability <= left:
        left -= rest.pop(0).probability
    return rest


def _parameters(answers: Sequence[str], begun: str) -> SamplingParams:
    rest = list(dict.fromkeys(remainder(answer, begun) for answer in fitting(answers, begun)))
    return SamplingParams(
        temperature=0.0,
        max_tokens=MAX_TOKENS,
        logprobs=LIKELIEST,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        structured_outputs=StructuredOutputsParams(choice=rest),
    )


def _positions(output: CompletionOutput) -> list[Position]:
    found = output.logprobs
    assert isinstance(found, FlatLogprobs)
    positions = list[Position]()
    for start, end in zip(found.start_indices, found.end_indices, strict=True):
        # the drawn token comes first, and once more where it is among the likeliest
        options = dict[int, Option]()
        for place in range(start, end):
            token = found.token_ids[place]
            option = Option(found.decoded_tokens[place] or "", math.exp(found.logprobs[place]), token)
            options.setdefault(token, option)
        positions.append(list(options.values()))
    return positions
