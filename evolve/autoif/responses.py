"""Responses to a query under an instruction: asked for, verified by the functions, and paired for DPO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from evolve.autoif.records import Check
from evolve.autoif.rules import Threshold
from evolve.errors import PromptRefused
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import UNFINISHED_REASONING, Answer, Completion, Failed, Prompt, Rejected, Response, Sampling
from evolve.sandbox.records import Verdict
from evolve.strategies.elimination import leaks_reasoning
from evolve.strategies.rounds import draw_seed, usage_of


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """A response and the share, in [0, 1], of the functions that return True for it."""

    text: str
    accuracy: float


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to one prompt."""

    chosen: ScoredResponse
    rejected: ScoredResponse


@dataclass(frozen=True, slots=True)
class Verified:
    """How a response ends, and its accuracy as in ScoredResponse; None where no function looked at it."""

    answer: Answer
    accuracy: float | None = None


def respond(
    instruction: str,
    query: str,
    template: Template,
    sampling: Sampling,
    rng: Random,
    keep_truncated: bool = False,
    leaked_reasoning: bool = True,
) -> Flow[Answer]:
    """Ask once for a response that follows the instruction.

    One that is empty is rejected, and so is one whose thoughts did not end; one that was cut off, unless
    `keep_truncated`; and where `leaked_reasoning` is on, one that shows marks of thoughts.
    """
    try:
        reply = yield Prompt(template.messages(instruction=instruction, query=query), sampling, draw_seed(rng))
    except PromptRefused as refused:
        return Failed(refused.reason, str(refused))
    reason = _why_not(reply, keep_truncated)
    if reason is None and leaked_reasoning and leaks_reasoning(reply.text, f"{instruction}\n{query}"):
        reason = "leaked_reasoning"
    if reason is not None:
        return Rejected(reason, reply.text, "", usage_of(reply), reply.finish_reason, reply.reasoning)
    return Response(reply.text.strip(), reply.finish_reason, usage_of(reply), reply.reasoning)


def _why_not(reply: Completion, keep_truncated: bool) -> str | None:
    if not reply.reasoning_ended:
        return UNFINISHED_REASONING
    if reply.finish_reason == "length" and not keep_truncated:
        return "truncated"
    return None if reply.text.strip() else "empty_response"


def verify(answers: Sequence[Answer], functions: Sequence[str], minimum: Threshold, check: Check) -> list[Verified]:
    """Each answer with its accuracy; a response that does not reach `minimum` is rejected with "accuracy".

    Answers that are no responses stay as they are.
    """
    texts = list(dict.fromkeys(answer.text for answer in answers if isinstance(answer, Response)))
    accuracies = {response.text: response.accuracy for response in score_responses(functions, texts, check)}
    return [_verified(answer, accuracies, minimum) for answer in answers]


def _verified(answer: Answer, accuracies: dict[str, float], minimum: Threshold) -> Verified:
    if not isinstance(answer, Response):
        return Verified(answer)
    accuracy = accuracies[answer.text]
    if not minimum.met(accuracy):
        return Verified(
            Rejected("accuracy", answer.text, "", answer.usage, answer.finish_reason, answer.reasoning), accuracy
        )
    return Verified(answer, accuracy)


def score_responses(functions: Sequence[str], responses: Sequence[str], check: Check) -> list[ScoredResponse]:
    """Each response's mean accuracy over the functions, of which there is at least one.

    A call without a verdict counts as False.
    """
    if not functions:
        raise ValueError("score_responses needs at least one function")
    hits = [0] * len(responses)
    for source in functions:
        for index, result in enumerate(check(source, responses)):
            hits[index] += result == Verdict(True)
    return [ScoredResponse(text, hit / len(functions)) for text, hit in zip(responses, hits, strict=True)]


def choose_pairs(
    scored: Sequence[ScoredResponse], chosen: Threshold, rejected: float, side: int
) -> list[PreferencePair]:
    """Up to `side` x `side` pairs of distinct texts: the best that reach `chosen` against the first that
    have at most `rejected`."""
    distinct = list({item.text: item for item in scored}.values())
    good = sorted((item for item in distinct if chosen.met(item.accuracy)), key=lambda item: -item.accuracy)[:side]
    bad = [item for item in distinct if item.accuracy <= rejected and not chosen.met(item.accuracy)][:side]
    return [PreferencePair(item, other) for item in good for other in bad]
