"""Texts as the words by which they are compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# scripts without spaces between words go by characters: kana, CJK ideographs (with their extensions), Thai, Lao
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W_{_UNSPACED}]+|[{_UNSPACED}]")


def words_of(text: str) -> list[str]:
    """The words of a text without case and punctuation; one character is a word where a script has no spaces."""
    return _WORD.findall(text.casefold())


def ngrams(words: Sequence[str], n: int) -> Iterator[str]:
    """All runs of `n` words, each as one string; none where there are fewer."""
    return (" ".join(words[start : start + n]) for start in range(len(words) - n + 1))


def question(instruction: str, input: str) -> str:
    """What a model is asked: the instruction, and the input on a line below it where there is one."""
    return f"{instruction}\n{input}" if input else instruction
