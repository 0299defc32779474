"""How hard a judge finds an instruction, as one of five labels or as a number (arXiv 2412.11231, Figure 2, Table 13).

A reply is read only where it can mean one thing: a single label, a single number, or a single one behind a word such as
"score", where a judge reasons before it decides. Everything else is rejected with its text, for a guess about what a
judge meant would be a measurement of the guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from random import Random

from evolve.alternatives import expectation
from evolve.flow import Flow
from evolve.judging.asking import ask, digest
from evolve.judging.records import GREEDY, Case, Finding, Judged
from evolve.prompts import Template, load_template
from evolve.records import Completion, Form, Rejected, Sampling
from evolve.strategies.rounds import usage_of

LABELS = ("very easy", "easy", "medium", "hard", "very hard")
"""From 1 to 5."""
LABEL_FORM = Form(choices=LABELS)
SCORE_FORM = Form(pattern=r"Score: (100|[1-9]?[0-9])")
LEVELS: Mapping[str, float] = {label: 1.0 + place for place, label in enumerate(LABELS)}
SCORES: Mapping[str, float] = {f"Score: {number}": float(number) for number in range(101)}
"""All answers of either form, and what each is worth."""
_LABELS = r"(?:very[\s_-]+easy|very[\s_-]+hard|easy|medium|hard)"
# "not very hard" and "isn't hard" name no label
_LABEL = re.compile(
    rf"(?P<denied>\b(?:not|no|never|hardly|neither|nor|cannot)\s+(?:\w+\s+){{0,2}}?|n['’]t\s+(?:\w+\s+){{0,2}}?)?"
    rf"\b(?P<label>{_LABELS})\b",
    re.IGNORECASE,
)
_DECIDED_LABEL = re.compile(
    rf"(?:\[\[\s*|\b(?:label|difficulty|level|rating|verdict|(?:final\s+)?answer)\b[^\w\n]{{0,8}}(?:is\b[^\w\n]{{0,4}})?)"
    rf"({_LABELS})(?=\W*$|[^\w\s,;/-]*(?:\n|\.\s|\]\]))",
    re.IGNORECASE,
)
_SCALE = re.compile(r"(?:/|\bout of)\s*100\b|\b0\s*(?:-|–|to)\s*100\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.,])-?\d+(?:\.\d+)?(?!\w|[.,]\d)")
_DECIDED_NUMBER = re.compile(
    r"\b(?:score|rating)\b[^\w\n-]{0,8}(?:(?:is|of)\b[^\w\n-]{0,4})?(-?\d+(?:\.\d+)?)(?!\w|[.,]\d)"
    r"(?!\s*(?:-|–|to|and|or)\s*\d)",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"(?<![\w.,])(\d+(?:\.\d+)?)\s*(?:/|\bout of)\s*(\d+)(?!\w|[.,]\d)", re.IGNORECASE)

Reading = dict[str, str | int | float | bool] | str
"""The columns that a reply gives, or the reason why it gives none."""


class DifficultyQuestion:
    """Asks for the difficulty of a case's task with one template, in `form` if any, and reads the reply with `read`.

    With `with_input` off the judge sees the instruction alone, as in the official code of arXiv 2412.11231. `weighed`
    is a column and a scale: the column gets the expected value of the scale's answers, null where none can be told.
    """

    def __init__(
        self,
        template: Template,
        read: Callable[[str], Reading],
        sampling: Sampling = GREEDY,
        with_input: bool = True,
        form: Form | None = None,
        weighed: tuple[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._template, self._read, self._sampling, self._with_input = template, read, sampling, with_input
        self._form, (self._column, self._scale) = form, weighed or ("", {})

    def fingerprint(self) -> str:
        """A digest of template, sampling and what is shown."""
        name = "difficulty" if self._with_input else "difficulty without input"
        return digest(name, [self._template], self._sampling, self._form)

    def ask(self, case: Case, rng: Random) -> Flow[Finding]:
        """One prompt."""
        task = case.side.task.text if self._with_input else case.side.task.instruction
        messages = self._template.messages(task=task)
        reply = yield from ask(messages, self._sampling, rng, self._form, tuple(self._scale))
        if not isinstance(reply, Completion):
            return reply
        reading = self._read(reply.text)
        if isinstance(reading, str):
            return Rejected(reading, reply.text, usage=usage_of(reply), finish_reason=reply.finish_reason)
        weighed = {self._column: expectation(self._scale, reply.probabilities)} if self._scale else {}
        return Judged({**reading, **weighed}, usage_of(reply))


def label_question(
    templates: Path | None = None,
    sampling: Sampling = GREEDY,
    with_input: bool = True,
    forms: bool = False,
    expected: bool = False,
) -> DifficultyQuestion:
    """The question for a label, with the user's template where the folder has one. Raises TemplateError."""
    template = load_template("judging/difficulty_label", {"task"}, folder=templates, literal=True)
    weighed = ("expected_level", LEVELS) if expected else None
    return DifficultyQuestion(template, read_label, sampling, with_input, LABEL_FORM if forms else None, weighed)


def score_question(
    templates: Path | None = None,
    sampling: Sampling = GREEDY,
    with_input: bool = True,
    forms: bool = False,
    expected: bool = False,
) -> DifficultyQuestion:
    """The question for a number. Raises TemplateError."""
    template = load_template("judging/difficulty_score", {"task"}, folder=templates, literal=True)
    weighed = ("expected_score", SCORES) if expected else None
    return DifficultyQuestion(template, read_score, sampling, with_input, SCORE_FORM if forms else None, weighed)


def read_label(text: str) -> Reading:
    """The one label in a reply, those that are denied aside; "no_label" or "several_labels" otherwise."""
    named = [match["label"] for match in _LABEL.finditer(text) if not match["denied"]]
    found = {" ".join(re.split(r"[\s_-]+", label.lower())) for label in _DECIDED_LABEL.findall(text) or named}
    if len(found) != 1:
        return "several_labels" if found else "no_label"
    label = found.pop()
    return {"difficulty_label": label, "difficulty_level": 1 + LABELS.index(label)}


def read_score(text: str) -> Reading:
    """The one number in a reply, from 0 to 100; "no_score", "several_scores" or "out_of_range" otherwise.

    Mentions of the scale are left aside, and a fraction such as 7/10 is taken of 100.
    """
    plain = _SCALE.sub(" ", _FRACTION.sub(_of_100, text))
    found = {float(number) for number in _DECIDED_NUMBER.findall(plain) or _NUMBER.findall(plain)}
    if len(found) != 1:
        return "several_scores" if found else "no_score"
    score = found.pop()
    return {"difficulty_score": score} if 0 <= score <= 100 else "out_of_range"


def _of_100(match: re.Match[str]) -> str:
    share, whole = float(match[1]), float(match[2])
    if not whole or whole == inf:
        return match[0]
    score = 100 * share / whole
    # without an exponent, whose digits would be read as a number
    return f"{score:g}" if 1e-4 <= score < 1e6 else f"{score:.0f}"
