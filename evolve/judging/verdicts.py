"""What a judge's reply to a comparison says, in the forms of well-known judge prompts.

They are: a letter alone; "[[A]]", "[[B]]" and, for a tie, "[[C]]"; "[[A>>B]]", "[[B>A]]" and "[[A=B]]"; "Verdict: A";
"Assistant 1 is better than Assistant 2", and "worse than" and "equal to". A judge may reason before it decides; a
decision in a fixed form then counts more than what was weighed up before.
"""

from __future__ import annotations

import re
from typing import Literal

Place = Literal["A", "B", "TIE"]

_NOUN = r"(?:answer|pair|assistant|response|model|output|candidate)"
_NAME = rf"(?:{_NOUN}\W{{0,3}}(A|B|1|2)\b|(?-i:\b(A|B))\b)"
_ALONE = r"(?!\s+(?:or|and)\b)"
_BRACKETED = re.compile(r"\[\[\s*(A|B|C|1|2|tie)\s*\]\]", re.IGNORECASE)
_GRADED = re.compile(r"\[\[\s*(A|B)\s*(>{1,2}|<{1,2}|={1,2})\s*(?!\1)(?:A|B)\s*\]\]", re.IGNORECASE)
_LABELLED = re.compile(
    r"\b(?:final\s+)?(?:verdict|winner|decision|judge?ment|conclusion|choice|preferred|preference)\b"
    rf"[^\w\n]{{0,8}}(?:is\b[^\w\n]{{0,4}})?(?:the\s+)?(?:{_NOUN}[^\w\n]{{0,3}})?((?-i:A|B)|1|2|tie)\b{_ALONE}",
    re.IGNORECASE,
)
_ADVERB = r"(?:(?!not\b|no\b|hardly\b|never\b)\w+\s+){0,2}"
_COMPARED = re.compile(rf"{_NAME}\s+(?:is|was|does|performs)\s+{_ADVERB}(better|worse)\s+than\s+{_NAME}", re.IGNORECASE)
_EQUAL = re.compile(
    rf"{_NAME}\s+is\s+{_ADVERB}(?:equal\s+to|as\s+good\s+as|on\s+a\s+par\s+with)\s+{_NAME}"
    rf"|{_NAME}\s+and\s+{_NAME}\s+are\s+{_ADVERB}(?:equal|equally\s+good)\b",
    re.IGNORECASE,
)
_START = re.compile(
    rf"\W*(?:the\s+)?(?:(?:{_NOUN}|verdict)\W+)?(A|B|TIE)"
    rf"(?:\W*$|[^\w\s'’]|\s*\n|\s+(?:is\s+{_ADVERB}better|wins|because)\b)",
    re.IGNORECASE,
)
_NAMED = re.compile(rf"\b(?:(?:{_NOUN}|verdict)\W+(A|B|1|2)|(TIE))\b{_ALONE}", re.IGNORECASE)
_DENIED = re.compile(rf"{_NAME}\s+(?:is|was)(?:n't|n’t|\s+(?:not|hardly|no))\s+(?:\w+\s+)?better", re.IGNORECASE)
_HEAD = re.compile(rf"(?:^|[\n.!])[^\w\n.!]*(?:{_NOUN}\W{{0,3}})?\b(A|B)\W{{0,3}}:", re.IGNORECASE)
_LETTER = re.compile(r"\b(A|B|TIE)\b")
_LAST = re.compile(r"\b(?:A|B|TIE)\W*$")
_PLACES: dict[str, Place] = {"A": "A", "1": "A", "B": "B", "2": "B", "C": "TIE", "TIE": "TIE"}
_OTHER: dict[Place, Place] = {"A": "B", "B": "A", "TIE": "TIE"}


def read_place(text: str) -> Place | None:
    """The side that a reply names; None where it names none, or both alike.

    In this order: a decision in brackets, one behind a word such as "verdict", a comparison, the reply's beginning,
    the only side that it names, the one it ends with. Of several decisions in one form that differ the last line's
    counts, if it has one. An "a" inside a sentence is an article and says nothing.
    """
    text = _GRADED.sub(_as_side, text)
    for pattern in (_BRACKETED, _LABELLED):
        if found := pattern.findall(text):
            return _decided(text, pattern, found)
    if compared := {*_comparisons(text)}:
        return compared.pop() if len(compared) == 1 else None
    if _DENIED.search(text):
        return None
    if (start := _START.match(text)) and not _both_headed(text):
        return _PLACES[start[1].upper()]
    named = {_PLACES[(side or tie).upper()] for side, tie in _NAMED.findall(text)}
    if named:
        return named.pop() if len(named) == 1 else None
    letters = set(_LETTER.findall(text))
    return _PLACES[letters.pop()] if len(letters) == 1 and _LAST.search(text) else None


def _as_side(graded: re.Match[str]) -> str:
    """A graded verdict, such as [[A>>B]], as the side that it names."""
    first = _PLACES[graded[1].upper()]
    sides: dict[str, Place] = {">": first, "<": _OTHER[first], "=": "TIE"}
    return f"[[{sides[graded[2][0]]}]]"


def _decided(text: str, pattern: re.Pattern[str], found: list[str]) -> Place | None:
    places = {_PLACES[item.upper()] for item in found}
    if len(places) == 1:
        return places.pop()
    last = {_PLACES[item.upper()] for item in pattern.findall(text.rstrip().rpartition("\n")[2])}
    return last.pop() if len(last) == 1 else None


def _comparisons(text: str) -> list[Place]:
    places: list[Place] = ["TIE" for _ in _EQUAL.finditer(text)]
    for match in _COMPARED.finditer(text):
        first, second = (_PLACES[item.upper()] for item in (match[1] or match[2], match[4] or match[5]))
        if first != second:
            places.append(first if match[3].lower() == "better" else _OTHER[first])
    return places


def _both_headed(text: str) -> bool:
    """Whether a reply goes through the sides one by one, so that its beginning decides nothing."""
    return len({item.upper() for item in _HEAD.findall(text)}) == 2
