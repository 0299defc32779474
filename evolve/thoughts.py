"""What stands before an answer in <think> tags and their like, as replies have it that no engine has parted."""

from __future__ import annotations

import re
from bisect import bisect
from dataclasses import dataclass

_OPEN, _CLOSE = "<think>", "</think>"
_ENDS = {
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|channel>thought": "<channel|>",
    "<seed:think>": "</seed:think>",
    "<reasoning>": "</reasoning>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    _OPEN: _CLOSE,
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
"""What begins thoughts in replies, in lower case, and what ends them."""
_OPENING = re.compile(rf"\s*+((?ai:{'|'.join(map(re.escape, _ENDS))}))")
_BLOCKS = 16
"""How many times thoughts are looked for, one block behind the other: some replies repeat a tag without an end."""


@dataclass(frozen=True, slots=True)
class Parted:
    """A reply: what was thought, what was answered, and whether the thoughts ended. `cut` characters are no answer."""

    reasoning: str
    answer: str
    ended: bool = True
    cut: int = 0


def part_inline(text: str) -> Parted:
    """A reply whose thoughts stand before its answer in tags, the first of which the prompt may hold if it is <think>.

    A reply that does not begin so is all answer.
    """
    thoughts, at = list[str](), 0
    for _ in range(_BLOCKS):
        opening = _OPENING.match(text, at)
        if opening is None:
            break
        closing = _closing(text, opening[1].lower(), opening.end())
        if closing is None:
            thoughts.append(text[opening.end() :].strip())
            return Parted("\n".join(filter(None, thoughts)), "", ended=False, cut=len(text))
        thoughts.append(text[opening.end() : closing.start()].strip())
        at = closing.end()
    if at == 0:
        reasoning, closed, answer = text.partition(_CLOSE)
        if not closed or _OPEN in reasoning:
            return Parted("", text)
        thoughts, at = [reasoning.strip()], len(text) - len(answer)
    return Parted("\n".join(filter(None, thoughts)), text[at:].strip(), cut=at)


def _closing(text: str, opening: str, start: int) -> re.Match[str] | None:
    """What ends the thoughts that begin at `start`: the first tag that closes.

    Where they name tags themselves it is the first behind which no more are closed than opened.
    """
    opens, closes = (re.compile(re.escape(tag), re.IGNORECASE) for tag in (opening, _ENDS[opening]))
    first = closes.search(text, start)
    if first is None or not opens.search(text, start, first.start()):
        return first
    opened = [found.start() for found in opens.finditer(text, start)]
    closed = list(closes.finditer(text, start))
    for number, found in enumerate(closed, 1):
        if len(closed) - number <= len(opened) - bisect(opened, found.start()):
            return found
    return first
