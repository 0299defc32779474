"""The probabilities of whole answers from vLLM: those that a reply tells, and short replies behind the ways it left."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from vllm import SamplingParams
from vllm.logprobs import FlatLogprobs
from vllm.outputs import CompletionOutput
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from evolve.alternatives import Option, Position, answer_start, fitting, remainder, resolve

LIKELIEST = 20
"""How many tokens of each position are asked for; no more than vLLM gives by default."""
MAX_TOKENS = 16
Complete = Callable[[list[int], SamplingParams], Awaitable[CompletionOutput]]
"""Completes tokens."""


async def probabilities(
    answers: Sequence[str], tokens: Sequence[int], output: CompletionOutput, answer: str, complete: Complete
) -> tuple[float, ...] | None:
    """The probabilities of `answers` to the prompt `tokens`, whose reply `output` ends with `answer`.

    Ways that the reply did not take are gone on with where they matter, a short reply each; these count in no usage.
    """
    positions = _positions(output)
    start = answer_start(positions, answer)
    if start is None:
        return None
    before = [*tokens, *output.token_ids[:start]]

    async def go_on(path: list[int], begun: str) -> Sequence[Position]:
        return _positions(await complete([*before, *path], _parameters(answers, begun)))

    found = await resolve(answers, positions[start:], go_on)
    return found.shares() if found else None


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
