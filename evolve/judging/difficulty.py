"""How hard a judge finds an instruction, as one of five labels or as a number (arXiv 2412.11231, Figure 2, Table 13).

A reply is read only where it can mean one thing: a single label, a single number. Everything else is rejected with
its text, for a guess about what a judge meant would be a measurement of the guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from evolve.flow import Flow
from evolve.judging.asking import ask, digest
from evolve.judging.records import GREEDY, Case, Finding, Judged
from evolve.prompts import Template, load_template
from evolve.records import Failed, Rejected, Sampling
from evolve.rounds import usage_of

LABELS = ("very easy", "easy", "medium", "hard", "very hard")
"""From 1 to 5."""
_LABEL = re.compile(r"\b(?:very[\s_-]+easy|very[\s_-]+hard|easy|medium|hard)\b", re.IGNORECASE)
_SCALE = re.compile(r"(?:/|\bout of)\s*100\b|\b0\s*(?:-|–|to)\s*100\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.,])-?\d+(?:\.\d+)?(?!\w|[.,]\d)")

Reading = dict[str, str | int | float | bool] | str
"""The columns that a reply gives, or the reason why it gives none."""


class DifficultyQuestion:
    """Asks for the difficulty of a case's task with one template, and reads the reply with `read`."""

    def __init__(self, template: Template, read: Callable[[str], Reading], sampling: Sampling = GREEDY) -> None:
        self._template, self._read, self._sampling = template, read, sampling

    def fingerprint(self) -> str:
        """A digest of template and sampling."""
        return digest("difficulty", [self._template], self._sampling)

    def ask(self, case: Case, rng: Random) -> Flow[Finding]:
        """One prompt."""
        reply = yield from ask(self._template.render(task=case.side.text), self._sampling, rng)
        if isinstance(reply, Failed):
            return reply
        reading = self._read(reply.text)
        if isinstance(reading, str):
            return Rejected(reading, reply.text, usage=usage_of(reply), finish_reason=reply.finish_reason)
        return Judged(reading, usage_of(reply))


def label_question(templates: Path | None = None) -> DifficultyQuestion:
    """The question for a label, with the user's template where the folder has one. Raises TemplateError."""
    return DifficultyQuestion(load_template("judging/difficulty_label", {"task"}, folder=templates), read_label)


def score_question(templates: Path | None = None) -> DifficultyQuestion:
    """The question for a number. Raises TemplateError."""
    return DifficultyQuestion(load_template("judging/difficulty_score", {"task"}, folder=templates), read_score)


def read_label(text: str) -> Reading:
    """The one label in a reply; "no_label" or "several_labels" otherwise."""
    found = {" ".join(re.split(r"[\s_-]+", label.lower())) for label in _LABEL.findall(text)}
    if len(found) != 1:
        return "several_labels" if found else "no_label"
    label = found.pop()
    return {"difficulty_label": label, "difficulty_level": 1 + LABELS.index(label)}


def read_score(text: str) -> Reading:
    """The one number in a reply, mentions of the scale aside; "no_score", "several_scores" or "out_of_range"."""
    found = {float(number) for number in _NUMBER.findall(_SCALE.sub(" ", text))}
    if len(found) != 1:
        return "several_scores" if found else "no_score"
    score = found.pop()
    return {"difficulty_score": score} if 0 <= score <= 100 else "out_of_range"
