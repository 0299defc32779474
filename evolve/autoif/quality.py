"""How well an instruction, a query and a response fit together, scored by a model from 1 to 10."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from evolve.autoif.asking import ask
from evolve.autoif.records import Dropped
from evolve.autoif.rules import Threshold
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Form, Sampling, Usage

JUDGE_SAMPLING = Sampling(temperature=0.0, top_p=1.0, max_tokens=256)
"""How the judge draws; Rules.quality_tokens replaces its limit."""
FORM = Form(pattern=r"Score: (10|[1-9])")
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
) -> Flow[tuple[int | Dropped, Usage]]:
    """Ask a judge model for the score of one example."""
    messages = template.messages(instruction=instruction, query=query, response=response)
    sampling = replace(JUDGE_SAMPLING, max_tokens=max_tokens)
    reply, usage = yield from ask("quality", "response", messages, sampling, rng, FORM if forms else None)
    if isinstance(reply, Dropped):
        return reply, usage
    score = parse_score(reply.text)
    return (Dropped("quality", "response", "no_score", reply.text) if score is None else score), usage


def parse_score(text: str) -> int | None:
    """A whole number from 1 to 10: the last one after "score" or "rating", else "N/10", else a number alone."""
    for pattern in (_LABELLED, _OUT_OF_TEN, _ALONE):
        if found := pattern.findall(text):
            return int(found[-1])
    return None


def too_low(score: int, minimum: Threshold, response: str) -> Dropped | None:
    """The response falls where its score does not reach the threshold."""
    return None if minimum.met(score) else Dropped("quality", "response", "score", response, str(score))
