"""How the optimiser model turns failed evolutions into a better method: one flow a candidate, two prompts or more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from evolve.errors import PromptRefused, TemplateError
from evolve.flow import Flow
from evolve.prompts import Template, load_template
from evolve.records import Evolved, Failed, Form, Instruction, Prompt, Round, Sampling
from evolve.strategies.method import check_method
from evolve.strategies.rounds import draw_seed

ANALYSE_TEMPLATE = "auto_evol/analyse"
OPTIMISE_TEMPLATE = "auto_evol/optimise"
TEMPLATES = frozenset({ANALYSE_TEMPLATE, OPTIMISE_TEMPLATE})
PLACEHOLDER = "{instruction}"
METHOD_FORM = Form(pattern=r"<method>\n[^{}]*\{instruction\}[^{}]*\n</method>")
"""A method between its tags, which holds the placeholder once and no other."""

Outcome = Literal["method", "no_failures", "no_method", "refused", "unfinished_reasoning"]

# Possessive (*+, ++), for a model that ends in an endless line of one sign must not cost quadratic time.
_NOTHING = re.compile(r"\W*+(?:none|no failures?(?: (?:was|were))?(?: found)?|)\W*+", re.IGNORECASE)
_TAGGED = re.compile(r"<method>(.*?)(?:</method>|\Z)", re.IGNORECASE | re.DOTALL)
# What stands behind the opening fence, such as "text" or "Optimized Method", is no part of the method.
_FENCE = re.compile(r"```[^`]*")
_HEADED = re.compile(
    r"^[ \t#*_]*+(?:(?:the|my|new|better|improved|optimi[sz]ed|revised|updated)[ \t]+)+method[*_ \t]*+:?[*_ \t]*+",
    re.IGNORECASE | re.MULTILINE,
)
_LOOSE_PLACEHOLDER = re.compile(r"(?<!\{)\{++[ \t]*+instruction[ \t]*+\}+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What became of one task: the seed's instruction and, round by round, how the round ended."""

    seed: str
    rounds: tuple[Round, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one pass of the optimiser gave.

    `outcome` is "method" with the new `text`, "no_failures" where the analysis lists none, "no_method" where none of
    the `attempts` replies held a usable method, "refused" where the engine refused a prompt, "unfinished_reasoning"
    where the analysis, or the last of the replies, thought until its tokens were gone. `feedback` is the
    analysis; `note` says why there is no method, as far as known.
    """

    outcome: Outcome
    feedback: str = ""
    text: str | None = None
    attempts: int = 0
    note: str = ""


@dataclass(frozen=True)
class Optimiser:
    """The optimiser's two prompts. A reply without a method is asked for again, `attempts` times in all.

    With `forms` the second can be replied to with nothing but a method.
    """

    analyse: Template
    rewrite: Template
    sampling: Sampling
    attempts: int
    forms: bool = False

    @classmethod
    def load(cls, sampling: Sampling, attempts: int, templates: Path | None = None, forms: bool = False) -> Optimiser:
        """With the shipped prompts, or those of the folder `templates`. Raises TemplateError."""
        return cls(
            load_template(ANALYSE_TEMPLATE, {"trajectories"}, folder=templates),
            load_template(OPTIMISE_TEMPLATE, {"method", "feedback"}, {"placeholder"}, templates),
            sampling,
            attempts,
            forms,
        )

    def propose(self, method: str, trajectories: Sequence[Trajectory], rng: Random) -> Flow[Proposal]:
        """Analyse the trajectories, then rewrite the method by what the analysis found."""
        feedback = ""
        try:
            analysis = yield Prompt(
                self.analyse.messages(trajectories=render(trajectories)), self.sampling, draw_seed(rng)
            )
            if not analysis.reasoning_ended:
                return Proposal("unfinished_reasoning")
            feedback = analysis.text.strip()
            if says_nothing(feedback):
                return Proposal("no_failures", feedback)
            return (yield from self._rewrite(method, feedback, rng))
        except PromptRefused as refused:
            return Proposal("refused", feedback, note=str(refused))

    def _rewrite(self, method: str, feedback: str, rng: Random) -> Flow[Proposal]:
        question = self.rewrite.messages(method=method, feedback=feedback, placeholder=PLACEHOLDER)
        note = ""
        outcome: Outcome = "no_method"
        for attempt in range(1, self.attempts + 1):
            form = METHOD_FORM if self.forms else None
            reply = yield Prompt(question, self.sampling, draw_seed(rng), form=form)
            outcome = "no_method" if reply.reasoning_ended else "unfinished_reasoning"
            if not reply.reasoning_ended:
                continue
            try:
                return Proposal("method", feedback, parse_method(reply.text), attempt)
            except TemplateError as error:
                note = str(error)
        return Proposal(outcome, feedback, attempts=self.attempts, note=note)


def render(trajectories: Sequence[Trajectory]) -> str:
    """The trajectories as numbered text, for the analysis."""
    blocks = []
    for number, trajectory in enumerate(trajectories, 1):
        stages = [f"Original: {trajectory.seed}"]
        stages += [f"Round {index}: {_told(item)}" for index, item in enumerate(trajectory.rounds, 1)]
        blocks.append(f"Task {number}\n" + "\n".join(stages))
    return "\n\n".join(blocks)


def trajectory(seed: Instruction, rounds: list[Round]) -> Trajectory:
    """What became of `seed`."""
    return Trajectory(seed.instruction, tuple(rounds))


def parse_method(reply: str) -> str:
    """The method in an optimiser's reply: between the tags, in a code block, or below a heading such as
    "Improved method:". Of several the last one.

    Spellings such as {{instruction}} or {Instruction} are read as {instruction}. Raises TemplateError where there is
    no method or its placeholders do not fit.
    """
    found = _TAGGED.findall(reply) or _fenced(reply) or _HEADED.split(reply)[1:]
    texts = [text for text in map(str.strip, found) if text]
    if not texts:
        raise TemplateError("the optimiser's reply: expected a method between <method> and </method>, found none")
    return check_method(_LOOSE_PLACEHOLDER.sub(PLACEHOLDER, texts[-1]), "the optimiser's reply").text


def says_nothing(analysis: str) -> bool:
    """Whether an analysis lists no failures."""
    return _NOTHING.fullmatch(analysis) is not None


def _fenced(reply: str) -> list[str]:
    """The texts of the code blocks in a reply that are closed."""
    found, block = list[str](), None
    for line in reply.split("\n"):
        if block is None:
            block = list[str]() if _FENCE.fullmatch(line) else None
        elif line.rstrip(" \t") == "```":
            found.append("\n".join(block))
            block = None
        else:
            block.append(line)
    return found


def _told(item: Round) -> str:
    if isinstance(item, Evolved):
        return item.instruction
    return f"(no new task: {item.error if isinstance(item, Failed) else item.reason})"
