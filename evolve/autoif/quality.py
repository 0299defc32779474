"""How well an instruction, a query and a response fit together, scored by a model from 1 to 10."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from random import Random

from evolve.alternatives import expectation
from evolve.autoif.asking import ask
from evolve.autoif.records import Dropped, Quality
from evolve.autoif.rules import Threshold
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Form, Sampling, Usage

JUDGE_SAMPLING = Sampling(temperature=0.0, top_p=1.0, max_tokens=256)
"""How the judge draws; Rules.quality_tokens replaces its limit."""
FORM = Form(pattern=r"Score: (10|[1-9])")
SCORES: Mapping[str, float] = {f"Score: {number}": float(number) for number in range(1, 11)}
"""All answers of the form, and what each is worth."""
_NUMBER = r"(10|[1-9])(?![\d]|\.\d)"
_LABELLED = re.compile(rf"(?:score|rating)\b\W{{0,12}}(?:is\W{{1,4}}|of\W{{1,4}})?{_NUMBER}", re.IGNORECASE)
_OUT_OF_TEN = re.compile(rf"(?<![\d.]){_NUMBER}\s*(?:/|out of)\s*10\b", re.IGNORECASE)
_ALONE = re.compile(rf"^\W*{_NUMBER}\W*$")


def score_quality(
    instruction: str,
    query: str,
    response: str,
    template: Template,
    rng: Random,
    max_tokens: int = JUDGE_SAMPLING.max_tokens,
    forms: bool = False,
    expected: bool = False,
) -> Flow[tuple[Quality | Dropped, Usage]]:
    """Ask a judge model for the score of one example; with `expected` for the mean under its probabilities too."""
    messages = template.messages(instruction=instruction, query=query, response=response)
    sampling = replace(JUDGE_SAMPLING, max_tokens=max_tokens)
    answers = tuple(SCORES) if expected else ()
    reply, usage = yield from ask("quality", "response", messages, sampling, rng, FORM if forms else None, answers)
    if isinstance(reply, Dropped):
        return reply, usage
    score = parse_score(reply.text)
    if score is None:
        return Dropped("quality", "response", "no_score", reply.text), usage
    return Quality(score, expectation(SCORES, reply.probabilities)), usage


def parse_score(text: str) -> int | None:
    """A whole number from 1 to 10: the last one after "score" or "rating", else "N/10", else a number alone."""
    for pattern in (_LABELLED, _OUT_OF_TEN, _ALONE):
        if found := pattern.findall(text):
            return int(found[-1])
    return None


def too_low(score: int, minimum: Threshold, response: str) -> Dropped | None:
    """The response falls where its score does not reach the threshold."""
    return None if minimum.met(score) else Dropped("quality", "response", "score", response, str(score))
