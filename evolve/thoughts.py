"""What stands before an answer in <think> tags, as replies have it that no engine has parted."""

from __future__ import annotations

import re
from dataclasses import dataclass

_INLINE = re.compile(r"\s*(?:<think>)?(?P<reasoning>(?:(?!<think>).)*?)</think>(?P<answer>.*)", re.DOTALL)
_UNFINISHED = re.compile(r"\s*<think>(?P<reasoning>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parted:
    """A reply: what was thought, what was answered, and whether the thoughts ended. `cut` characters are no answer."""

    reasoning: str
    answer: str
    ended: bool = True
    cut: int = 0


def part_inline(text: str) -> Parted:
    """A reply whose thoughts stand before its answer in <think> tags, the first of which the prompt may hold.

    A reply that does not begin so is all answer.
    """
    if found := _INLINE.match(text):
        return Parted(found["reasoning"].strip(), found["answer"].strip(), cut=found.start("answer"))
    if found := _UNFINISHED.match(text):
        return Parted(found["reasoning"].strip(), "", ended=False, cut=len(text))
    return Parted("", text)
