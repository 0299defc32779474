"""The final answer of a worked solution, read so that equal ones compare equal. No text is evaluated.

Texts that models write are never given to a parser that computes: sympy's evaluates Python, and a tower of powers
keeps any of them busy for ever. Numbers compare by their exact value, everything else by its characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_HASHES = re.compile(r"####[ \t]*([^\n]*\S)")
_NUMBER = r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|[-+\u2212]?\.\d+"
_NUMBERS = re.compile(rf"(?<![\w.])({_NUMBER})(?:\s*/\s*(\d+(?![\d,.]*\d)))?")
_WHOLE = re.compile(rf"({_NUMBER})(?:/(\d+))?")
_FRACTION = re.compile(r"([-+\u2212]?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_DECORATION = re.compile(r"\\[,;!: ]|\\left|\\right|\\%|[\s$%\u20ac\u00a3*`]|\\text(?:bf|rm)?\{[^{}]*\}")
MAX_CHARACTERS = 200
"""A longer one is no final answer; and numbers of more digits are not worth their arithmetic."""


def final_answer(text: str) -> str | None:
    """The final answer in `text`, in the form in which equal ones are equal; None where it has none.

    It is what the last \\boxed{} holds, else what the last line with "####" says, else the last number: a fraction
    where two stand around a stroke.
    """
    boxed = _last_boxed(text)
    if boxed is None and (found := _HASHES.findall(text)):
        boxed = found[-1]
    if boxed is not None:
        return _same(boxed)
    numbers = _NUMBERS.findall(text)
    return _number(*numbers[-1]) if numbers else None


def agreement(finals: Sequence[str | None]) -> list[float | None]:
    """For each final answer the share of all that say the same; None for those that say nothing."""
    counts = Counter(final for final in finals if final is not None)
    return [None if final is None else counts[final] / len(finals) for final in finals]


def _last_boxed(text: str) -> str | None:
    """What stands between the braces of the last box that is closed."""
    for begun in reversed([*BOXED.finditer(text)]):
        depth = 1
        for place in range(begun.end(), min(len(text), begun.end() + MAX_CHARACTERS)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if not depth:
                return text[begun.end() : place]
    return None


def _same(text: str) -> str | None:
    """One form for all writings of a number, and of a text: without case, white space and marks of currency."""
    plain = _DECORATION.sub("", text).rstrip(".").lower()
    if not plain or len(plain) > MAX_CHARACTERS:
        return None
    if fraction := _FRACTION.fullmatch(plain):
        return _number(fraction[1] + fraction[2], fraction[3])
    # a name before it, such as x=5
    value = plain.rpartition("=")[2]
    number = _WHOLE.fullmatch(value)
    return _number(number[1], number[2] or "") if number else plain


def _number(above: str, below: str) -> str | None:
    above = above.replace(",", "").replace("\u2212", "-")
    if len(above) + len(below) > MAX_CHARACTERS:
        return None
    value = Fraction(above)
    return str(value / int(below)) if below and int(below) else str(value)
