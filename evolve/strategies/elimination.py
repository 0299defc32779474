"""When an evolution has failed: the rules of WizardLM (arXiv 2304.12244, Section 3.2), each on or off.

Rules on the evolved instruction run between rounds; rules on its response run where the response is made.
An empty reply is always rejected: there is nothing to evolve further or to answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from evolve.described import BEFORE
from evolve.records import Completion

# Words of the prompts themselves, which a reply shows when the model copies its orders: WizardLM's, with or without
# the # that its prompts put around them, and those of the prompts shipped here.
LEAKED_WORDS = (
    "given prompt",
    "rewritten prompt",
    "created prompt",
    "rewritten instruction",
    "harder version",
    "brand-new task",
)
REFUSAL_MAX_WORDS = 80

# Function words that carry no answer by themselves.
STOP_WORDS = frozenset(
    """a about above after again all also am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further had has have having he her here hers
    him his how i if in into is it its itself just me more most my no nor not now of off on once only or other our
    out over own same she should so some such than that the their them then there these they this those through to
    too under until up very was we were what when where which while who whom why will with would you your""".split()
)
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_MARKS = re.compile(
    r"</?(?:seed:)?think(?:ing)?>|</?thoughts?>|\[/?THINK\]|◁/?think▷|<\|(?:begin|end)_of_thought\|>"
    r"|<\|(?:START|END)_THINKING\|>|<\|?channel\|?>|<\|(?:message|start)\|>",
    re.IGNORECASE,
)
_VERDICT = re.compile(r"\b(not\s+)?(equal|different)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Elimination:
    """Which rules are on, by the name that a rejected record carries as its reason."""

    equal: bool = False
    """A model finds the evolved instruction equal to its parent; costs one short completion a round."""
    leaked_words: bool = True
    """The evolved instruction shows words of the prompt that its parent does not hold."""
    truncated: bool = True
    """The evolved instruction ran into the token limit."""
    unchanged: bool = True
    """The evolved instruction is its parent, white space and case aside."""
    refusal: bool = True
    """The response says "sorry" in fewer than 80 words."""
    punctuation_only: bool = True
    """The response holds nothing but punctuation and stop words."""
    leaked_reasoning: bool = field(default=True, metadata={BEFORE: False})
    """A text holds a mark of a model's thoughts, such as <think>, that what it was made from does not hold."""
    truncated_response: bool = field(default=True, metadata={BEFORE: False})
    """The response ran into the token limit."""

    @classmethod
    def none(cls) -> Elimination:
        """No rule at all, as in arXiv 2412.11231."""
        return cls(False, False, False, False, False, False, False, False)

    @classmethod
    def wizardlm(cls) -> Elimination:
        """Every rule, the judge included."""
        return cls(equal=True)

    def reject_instruction(self, reply: Completion, parent: str, given: str = "") -> str | None:
        """The name of the first rule that turns `reply` down as an evolution of `parent`, whose input is `given`.

        The judge's rule, `equal`, is not among them: it needs a completion of its own.
        """
        text = reply.text.strip()
        if not text:
            return "empty"
        if self.leaked_reasoning and leaks_reasoning(text, f"{parent}\n{given}"):
            return "leaked_reasoning"
        if self.truncated and reply.finish_reason == "length":
            return "truncated"
        if self.unchanged and _folded(text) == _folded(parent):
            return "unchanged"
        if self.leaked_words and _leaks(text, parent):
            return "leaked_words"
        return None

    def reject_response(self, text: str, task: str = "", cut: bool = False) -> str | None:
        """The name of the first rule that turns the response `text` to `task` down, or None.

        `cut` says that it ran into its token limit.
        """
        if not text.strip():
            return "empty_response"
        if self.leaked_reasoning and leaks_reasoning(text, task):
            return "leaked_reasoning"
        lowered = text.lower()
        if self.refusal and "sorry" in lowered and _refuses(lowered):
            return "refusal"
        # ends at the first word that says something, which is near the beginning of almost every text
        if self.punctuation_only and all(word[0] in STOP_WORDS for word in _WORD.finditer(lowered)):
            return "punctuation_only"
        if self.truncated_response and cut:
            return "truncated_response"
        return None


def judged_equal(reply: str) -> bool:
    """Whether the judge's reply says EQUAL, or NOT DIFFERENT.

    A reply without either word counts as different: nothing is lost.
    """
    verdict = _VERDICT.search(reply)
    return verdict is not None and (verdict[2].lower() == "equal") != bool(verdict[1])


def leaks_reasoning(text: str, source: str) -> bool:
    """Whether `text` holds a mark of thoughts, a tag or a channel's, that its `source` does not hold."""
    marks = _marks(text)
    return bool(marks) and not marks <= _marks(source)


def _refuses(lowered: str) -> bool:
    words = _WORD.findall(lowered)
    return len(words) < REFUSAL_MAX_WORDS and "sorry" in words


def _marks(text: str) -> set[str]:
    return {mark.lower() for mark in _MARKS.findall(text)}


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _leaks(text: str, parent: str) -> bool:
    new, old = text.lower(), parent.lower()
    return any(words in new and words not in old for words in LEAKED_WORDS)
