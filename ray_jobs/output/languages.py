"""Which languages texts are in, for the header of a dataset card, which viewers filter by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

SHARE = 0.1
"""A language is named that this share of the texts is in."""
SURE = 0.7
"""How probable a text's language must be to count: one that is not told is better than one that is wrong."""


def languages_of(texts: Iterable[str]) -> list[str]:
    """The ISO 639 codes of the languages that a share of the texts is surely in, the commonest first."""
    found, total = Counter[str](), 0
    for text in texts:
        total += 1
        language, probability = _identifier().classify(text)
        if probability >= SURE:
            found[str(language)] += 1
    return [language for language, count in found.most_common() if count >= SHARE * total]


@cache
def _identifier() -> Any:
    # its model takes most of a second to load
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
