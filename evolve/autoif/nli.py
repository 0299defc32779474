"""Does a back-translation contradict its instruction? Labels of any classifier or of a judge model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Literal

from evolve.autoif.asking import ask
from evolve.autoif.records import Dropped, Reply
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Form, Sampling, Usage

Label = Literal["entailment", "neutral", "contradiction"]

JUDGE_SAMPLING = Sampling(temperature=0.0, top_p=1.0, max_tokens=8)
FORM = Form(choices=("ENTAILMENT", "CONTRADICTION", "NEUTRAL"))
_LABELS: tuple[tuple[Label, re.Pattern[str]], ...] = (
    ("contradiction", re.compile(r"\bcontradict(?:ion|ory|s)?\b", re.IGNORECASE)),
    ("entailment", re.compile(r"\bentail(?:ment|s|ed)?\b", re.IGNORECASE)),
    ("neutral", re.compile(r"\bneutral\b", re.IGNORECASE)),
)


def parse_label(text: str) -> Label | None:
    """The first label that `text` names, be it a judge's reply or a name in a classifier's configuration."""
    found = [(match.start(), label) for label, pattern in _LABELS if (match := pattern.search(text))]
    return min(found)[1] if found else None


def judge(
    instruction: str, back_translation: str, template: Template, rng: Random, forms: bool = False
) -> Flow[tuple[Label | Dropped, Usage]]:
    """Ask a judge model whether the instruction (premise) and its back-translation (hypothesis) go together."""
    messages = template.messages(premise=instruction, hypothesis=back_translation)
    reply, usage = yield from ask("nli", "back_translation", messages, JUDGE_SAMPLING, rng, FORM if forms else None)
    return reply if isinstance(reply, Dropped) else _label(reply), usage


def contradicted(instruction: str, labels: Sequence[tuple[str, Label | Dropped]]) -> Dropped | None:
    """The instruction falls where ANY of its back-translations contradicts it (arXiv 2406.13542, official code).

    `labels` are back-translations with their label. One that could not be labelled speaks against nothing.
    """
    against = [text for text, label in labels if label == "contradiction"]
    if not against:
        return None
    return Dropped("nli", "instruction", "contradiction", instruction, f"by: {against[0]}")


def _label(reply: Reply) -> Label | Dropped:
    return parse_label(reply.text) or Dropped("nli", "back_translation", "no_label", reply.text)
