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
from evolve.records import Answer, Failed, Prompt, Rejected, Response, Sampling
from evolve.sandbox.records import Verdict
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
    instruction: str, query: str, template: Template, sampling: Sampling, rng: Random, keep_truncated: bool = False
) -> Flow[Answer]:
    """Ask once for a response that follows the instruction.

    One that is empty is rejected, and so is one that was cut off, unless `keep_truncated`.
    """
    try:
        reply = yield Prompt(template.render(instruction=instruction, query=query), sampling, draw_seed(rng))
    except PromptRefused as refused:
        return Failed(type(refused).__name__, str(refused))
    usage = usage_of(reply)
    cut = reply.finish_reason == "length" and not keep_truncated
    if cut or not reply.text.strip():
        reason = "truncated" if cut else "empty_response"
        return Rejected(reason, reply.text, usage=usage, finish_reason=reply.finish_reason)
    return Response(reply.text.strip(), reply.finish_reason, usage)


def verify(answers: Sequence[Answer], functions: Sequence[str], least: Threshold, check: Check) -> list[Verified]:
    """Each answer with its accuracy; a response that does not reach `least` is rejected with "accuracy".

    Answers that are no responses stay as they are.
    """
    texts = list(dict.fromkeys(answer.text for answer in answers if isinstance(answer, Response)))
    accuracies = {one.text: one.accuracy for one in score_responses(functions, texts, check)}
    return [_verified(answer, accuracies, least) for answer in answers]


def _verified(answer: Answer, accuracies: dict[str, float], least: Threshold) -> Verified:
    if not isinstance(answer, Response):
        return Verified(answer)
    accuracy = accuracies[answer.text]
    if not least.met(accuracy):
        return Verified(Rejected("accuracy", answer.text, "", answer.usage, answer.finish_reason), accuracy)
    return Verified(answer, accuracy)


def score_responses(functions: Sequence[str], responses: Sequence[str], check: Check) -> list[ScoredResponse]:
    """Each response's mean accuracy over the functions, of which there is at least one.

    A call without a verdict counts as False.
    """
    if not functions:
        raise ValueError("score_responses needs at least one function")
    hits = [0] * len(responses)
    for source in functions:
        for place, result in enumerate(check(source, responses)):
            hits[place] += result == Verdict(True)
    return [ScoredResponse(text, hit / len(functions)) for text, hit in zip(responses, hits, strict=True)]


def choose_pairs(
    scored: Sequence[ScoredResponse], chosen: Threshold, rejected: float, side: int
) -> list[PreferencePair]:
    """Up to `side` x `side` pairs of distinct texts: the best that reach `chosen` against the first that
    have at most `rejected`."""
    distinct = list({one.text: one for one in scored}.values())
    good = sorted((one for one in distinct if chosen.met(one.accuracy)), key=lambda one: -one.accuracy)[:side]
    bad = [one for one in distinct if one.accuracy <= rejected and not chosen.met(one.accuracy)][:side]
    return [PreferencePair(one, other) for one in good for other in bad]
