"""Which languages texts are in, as far as their letters or their commonest words leave no doubt.

For the header of a dataset card, which viewers filter by: a language that is not told is better than one that is
wrong. Other languages than these are never named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

SHARE = 0.1
"""A language is named that this share of the texts is in."""
_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "zh": re.compile(r"[\u4e00-\u9fff]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "el": re.compile(r"[\u0370-\u03ff]{3}"),
    "he": re.compile(r"[\u0590-\u05ff]"),
}
"""Letters that one language alone is written in; Chinese characters after the kana that tell Japanese."""
_WORDS = {
    "en": "the and of to in is that for with you are this a an",
    "de": "der die das und ist nicht ein eine mit für auf den von zu wie",
    "fr": "le la les des et est une un pour dans que qui sur avec du",
    "es": "el los las una y es que para con por del como un qué en",
    "it": "il gli della che è per una con di non sono come un nel",
    "pt": "os uma e é que para com não do da um como em dos",
    "nl": "het een en van is dat niet voor met op de zijn hoe je",
    "ru": "и в не на что с как это для по из или",
}
_FUNCTION_WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_AT_LEAST = 2


def languages_of(texts: Iterable[str]) -> list[str]:
    """The ISO 639-1 codes of the languages that a share of the texts is in, the commonest first."""
    found, total = Counter[str](), 0
    for text in texts:
        total += 1
        if language := language_of(text):
            found[language] += 1
    return [language for language, count in found.most_common() if count >= SHARE * total]


def language_of(text: str) -> str | None:
    """The language of a text; None where neither its letters nor its words tell one."""
    letters = _WORD.findall(text.lower())
    for language, script in _SCRIPTS.items():
        if len(script.findall(text)) * 4 > sum(map(len, letters)):
            return language
    counts = Counter({language: sum(word in words for word in letters) for language, words in _FUNCTION_WORDS.items()})
    (first, most), (_, second) = counts.most_common(2)
    return first if most >= _AT_LEAST and most > second else None
