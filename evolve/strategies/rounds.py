"""What every strategy shares: the walk from round to round, and the verdict on what a round produced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from evolve.described import described
from evolve.errors import PromptRefused
from evolve.flow import Flow
from evolve.listening import ROUND
from evolve.prompts import Template
from evolve.records import (
    UNFINISHED_REASONING,
    Completion,
    Evolved,
    Failed,
    Form,
    Instruction,
    Prompt,
    Rejected,
    Round,
    Sampling,
    Usage,
)
from evolve.strategies.elimination import Elimination, judged_equal

JUDGE_SAMPLING = Sampling(temperature=0.0, top_p=1.0, max_tokens=8)
EQUAL_TEMPLATE = "elimination/equal"
EQUAL_FORM = Form(choices=("EQUAL", "DIFFERENT"))


@dataclass(frozen=True, slots=True)
class Draft:
    """What one step proposes as the next instruction, before any rule has seen it.

    `reply.text` is the proposed instruction, `usage` all tokens that went into it. `reason` is set where the
    step itself already turned the reply down, such as a reply in which no instruction was found.
    """

    reply: Completion
    operator: str
    usage: Usage
    trajectory: str | None = None
    reason: str | None = None


Step = Callable[[Instruction, int], Flow[Draft]]
"""One round: given the parent and the 0-based round, asks for completions and returns a draft."""


@dataclass(frozen=True)
class Judge:
    """Decides whether a draft becomes the next instruction. `equal` is the judge's prompt template.

    With `forms` the judge can reply in no other words than the rule reads.
    """

    rules: Elimination
    equal: Template
    forms: bool = False

    def fingerprint(self) -> list[str]:
        """What of it changes results: rules, and where the judge is asked its prompt and form."""
        if not self.rules.equal:
            return [described(self.rules), ""]
        return [described(self.rules), self.equal.digest(), *([repr(EQUAL_FORM)] if self.forms else [])]

    def settle(self, draft: Draft, parent: Instruction, rng: Random) -> Flow[Round]:
        """Turn a draft into how its round ends, asking the engine only where the rule `equal` is on.

        Where the engine refuses the judge's prompt the round fails, with the draft's text and tokens.
        """
        reason = self._reason(draft, parent)
        usage, text = draft.usage, draft.reply.text.strip()
        if reason is None and self.rules.equal:
            question = self.equal.messages(parent=parent.instruction, instruction=text)
            try:
                form = EQUAL_FORM if self.forms else None
                verdict = yield Prompt(question, JUDGE_SAMPLING, seed=draw_seed(rng), form=form)
            except PromptRefused as refused:
                return Failed(refused.reason, str(refused), draft.operator, text, usage)
            usage += usage_of(verdict)
            if not verdict.reasoning_ended:
                reason = UNFINISHED_REASONING
            elif judged_equal(verdict.text):
                reason = "equal"
        if reason is not None:
            return Rejected(reason, text, draft.operator, usage, draft.reply.finish_reason)
        return Evolved(
            text,
            draft.operator,
            draft.reply.finish_reason,
            usage,
            draft.reply.confidence,
            draft.trajectory,
            draft.reply.reasoning,
        )

    def _reason(self, draft: Draft, parent: Instruction) -> str | None:
        if not draft.reply.reasoning_ended:
            return UNFINISHED_REASONING
        return draft.reason or self.rules.reject_instruction(draft.reply, parent.instruction, parent.input)


def evolve_rounds(
    seed: Instruction, rounds: int, operators: Callable[[int], str], step: Step, judge: Judge, rng: Random
) -> Flow[list[Round]]:
    """Take `seed` through all rounds. A round that is rejected or fails hands its parent on unchanged.

    `operators(round)` names the operator of a round, so that a round whose prompt is refused still carries it.
    Who listens to rounds is told each as it ends.
    """
    parent, results, tell = seed, list[Round](), ROUND.get()
    for number in range(rounds):
        try:
            draft = yield from step(parent, number)
            result = yield from judge.settle(draft, parent, rng)
        except PromptRefused as refused:
            result = Failed(refused.reason, str(refused), operators(number), parent.instruction)
        if isinstance(result, Evolved):
            parent = replace(parent, instruction=result.instruction)
        results.append(result)
        if tell:
            tell(result)
    return results


def draw_seed(rng: Random) -> int:
    """A seed for one prompt: a non-negative 31-bit integer, which every engine accepts."""
    return rng.getrandbits(31)


def usage_of(completion: Completion) -> Usage:
    """The tokens of one completion, without other draws of its prompt."""
    return Usage(completion.prompt_tokens, completion.completion_tokens, completion.reasoning_tokens)
