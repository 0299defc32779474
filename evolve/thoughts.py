"""What stands before an answer in <think> tags, as replies have it that no engine has parted."""

from __future__ import annotations

from dataclasses import dataclass

_OPEN, _CLOSE = "<think>", "</think>"


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
    begun = text.lstrip()
    opened = begun.startswith(_OPEN)
    inside = begun.removeprefix(_OPEN)
    reasoning, closed, answer = inside.partition(_CLOSE)
    if closed and _OPEN not in reasoning:
        return Parted(reasoning.strip(), answer.strip(), cut=len(text) - len(answer))
    if opened:
        return Parted(inside.strip(), "", ended=False, cut=len(text))
    return Parted("", text)
