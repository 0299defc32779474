"""Responses to a query under an instruction: asked for, verified by the functions, and paired for DPO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from evolve.autoif.asking import ask
from evolve.autoif.records import Check, Fallen
from evolve.autoif.rules import Threshold
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Sampling, Usage
from evolve.sandbox.records import Verdict


@dataclass(frozen=True, slots=True)
class Responses:
    """K samples; one that is empty, cut off or refused falls."""

    texts: tuple[str, ...]
    fallen: tuple[Fallen, ...]
    usage: Usage


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


def respond(
    instruction: str, query: str, samples: int, template: Template, sampling: Sampling, rng: Random
) -> Flow[Responses]:
    """Ask `samples` times for a response that follows the instruction."""
    found: list[str] = []
    fallen: list[Fallen] = []
    usage = Usage()
    for _ in range(samples):
        text = template.render(instruction=instruction, query=query)
        reply = yield from ask("respond", "response", text, sampling, rng)
        if isinstance(reply, Fallen):
            fallen.append(reply)
            continue
        usage += reply.usage
        if reply.truncated or not reply.text.strip():
            reason = "truncated" if reply.truncated else "empty"
            fallen.append(Fallen("respond", "response", reason, reply.text))
        else:
            found.append(reply.text.strip())
    return Responses(tuple(found), tuple(fallen), usage)


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


def keep_responses(scored: Sequence[ScoredResponse], least: Threshold) -> tuple[list[ScoredResponse], list[Fallen]]:
    """Those whose mean accuracy reaches the threshold, and the others."""
    kept = [one for one in scored if least.met(one.accuracy)]
    fallen = [
        Fallen("respond", "response", "accuracy", one.text, f"{one.accuracy:.3f}")
        for one in scored
        if not least.met(one.accuracy)
    ]
    return kept, fallen


def choose_pairs(
    scored: Sequence[ScoredResponse], chosen: Threshold, rejected: float, side: int
) -> list[PreferencePair]:
    """Up to `side` x `side` pairs of distinct texts: the best that reach `chosen` against the first that
    have at most `rejected`."""
    distinct = list({one.text: one for one in scored}.values())
    good = sorted((one for one in distinct if chosen.met(one.accuracy)), key=lambda one: -one.accuracy)[:side]
    bad = [one for one in distinct if one.accuracy <= rejected and not chosen.met(one.accuracy)][:side]
    return [PreferencePair(one, other) for one in good for other in bad]
