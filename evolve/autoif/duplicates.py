"""Exact and near duplicates among short texts, one text at a time."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

_WORD = re.compile(r"\w+")
_SPOKEN = re.compile(r"\w+(?:['’]\w+)?")
_NUMBERS = {
    word: str(number)
    for number, words in enumerate(
        "zero,one once first single,two twice second double,three thrice third triple,four fourth,five fifth,six sixth,"
        "seven seventh,eight eighth,nine ninth,ten tenth,eleven,twelve twelfth,thirteen,fourteen,fifteen,sixteen,"
        "seventeen,eighteen,nineteen,twenty".split(",")
    )
    for word in words.split()
} | {"thirty": "30", "forty": "40", "fifty": "50", "hundred": "100", "thousand": "1000", "half": "0.5"}
_NEGATIONS = frozenset("no not never none nothing without cannot neither nor avoid except exclude excluding".split())

Marks = tuple[tuple[str, ...], int]
"""What makes texts different however alike they are: their numbers in order, and how many negations they have."""


class Duplicates:
    """Remembers texts and recognises new ones that are too much like one of them.

    Two texts are near duplicates where the Jaccard index of their word sets and word pairs, case and punctuation
    aside, is at least `threshold`, in (0, 1], and both hold the same numbers in the same order and as many negations:
    "exactly three sentences" is another constraint than "exactly five sentences". Without a threshold there are exact
    duplicates alone. The index is exact: an inverted list a shingle finds the candidates, so a text costs as much as
    the texts that share a shingle with it.
    """

    def __init__(self, threshold: float | None) -> None:
        self._threshold = threshold
        self._marks: list[Marks] = []
        self._texts: list[str] = []
        self._sizes: list[int] = []
        self._exact: dict[str, int] = {}
        self._holders: defaultdict[str, list[int]] = defaultdict(list)

    def add_all(self, texts: Iterable[str]) -> None:
        """Remember texts that are there already, such as the seeds."""
        for text in texts:
            self._remember(text, _normal(text))

    def add(self, text: str) -> tuple[str, str] | None:
        """Remember `text` where it is new; else say how it is not: ("duplicate" or "near_duplicate", of what)."""
        normal = _normal(text)
        if (place := self._exact.get(normal)) is not None:
            return "duplicate", self._texts[place]
        if self._threshold is not None and (near := self._nearest(normal, _marks(text), self._threshold)) is not None:
            return "near_duplicate", near
        self._remember(text, normal)
        return None

    def _nearest(self, normal: str, marks: Marks, threshold: float) -> str | None:
        shingles = _shingles(normal)
        shared = Counter(place for shingle in shingles for place in self._holders[shingle])
        best, maximum = None, threshold
        for place, common in shared.items():
            if self._marks[place] != marks:
                continue
            similarity = common / (len(shingles) + self._sizes[place] - common)
            if similarity >= maximum and (best is None or similarity > maximum):
                best, maximum = self._texts[place], similarity
        return best

    def _remember(self, text: str, normal: str) -> None:
        place, shingles = len(self._texts), _shingles(normal)
        self._exact.setdefault(normal, place)
        self._texts.append(text)
        self._marks.append(_marks(text))
        self._sizes.append(len(shingles))
        for shingle in shingles:
            self._holders[shingle].append(place)


def _marks(text: str) -> Marks:
    words = _SPOKEN.findall(text.casefold())
    numbers = tuple(_NUMBERS.get(word, word) for word in words if word in _NUMBERS or word[0].isdigit())
    return numbers, sum(word in _NEGATIONS or word.endswith(("n't", "n’t")) for word in words)


def _normal(text: str) -> str:
    words = _WORD.findall(text.casefold())
    # A text of punctuation alone is only equal to itself.
    return " ".join(words) or text.strip()


def _shingles(normal: str) -> set[str]:
    words = normal.split()
    return {*words, *(f"{first} {second}" for first, second in pairwise(words))}
