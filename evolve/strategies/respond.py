"""Answers to evolved instructions, and the rules that turn an answer down."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from evolve.errors import PromptRefused
from evolve.flow import Flow
from evolve.prompts import Template, TemplateSource, load_template
from evolve.records import (
    UNFINISHED_REASONING,
    Answer,
    Completion,
    Failed,
    Instruction,
    Message,
    Prompt,
    Rejected,
    Response,
    Sampling,
)
from evolve.strategies.elimination import Elimination
from evolve.strategies.rounds import draw_seed, usage_of

# The paper answers greedily with one strong model, so that only the instructions differ (arXiv 2412.11231).
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=2048)


BARE = Template("respond/bare", "{instruction}")
"""The task as it is."""


@dataclass(frozen=True)
class Responder:
    """Answers an instruction with its input, `answers` times. `template` is what the task is wrapped in."""

    sampling: Sampling
    rules: Elimination
    template: Template = BARE
    answers: int = 1

    def answer(self, task: Instruction, rng: Random) -> Flow[Answer]:
        """Ask for one answer; the rules on responses decide whether it stands."""
        return (yield from self._asked(task, rng, 1))[0]

    def several(self, task: Instruction, rng: Random) -> Flow[list[Answer]]:
        """Ask once for all answers, each of which stands or falls by itself; one where the prompt is refused."""
        return (yield from self._asked(task, rng, self.answers))

    def _asked(self, task: Instruction, rng: Random, draws: int) -> Flow[list[Answer]]:
        try:
            reply = yield Prompt(self.messages(task), self.sampling, draw_seed(rng), draws=draws)
        except PromptRefused as refused:
            return [Failed(refused.reason, str(refused))]
        return [self._settled(draw, task) for draw in reply.drawn]

    def _settled(self, reply: Completion, task: Instruction) -> Answer:
        usage, thoughts = usage_of(reply), reply.reasoning
        if reply.withheld:
            why = "the engine gave other answers to the prompt, and withheld this one"
            return Failed(reply.withheld, why, usage=usage)
        cut = reply.finish_reason == "length"
        reason: str | None = UNFINISHED_REASONING
        if reply.reasoning_ended:
            reason = self.rules.reject_response(reply.text, task.text, cut)
        if reason is not None:
            return Rejected(reason, reply.text, "", usage, reply.finish_reason, thoughts)
        return Response(reply.text.strip(), reply.finish_reason, usage, thoughts)

    def messages(self, task: Instruction) -> tuple[Message, ...]:
        """The conversation. A template without {input} has the whole task in the place of {instruction}."""
        if "{input}" in self.template.text:
            return self.template.messages(instruction=task.instruction, input=task.input)
        return self.template.messages(instruction=task.text)


def load_response_template(name: str, folder: TemplateSource | None = None) -> Template:
    """The template respond/`name`: that of `folder`, or the shipped one. Raises TemplateError."""
    return load_template(f"respond/{name}", {"instruction"}, {"input"}, folder)
