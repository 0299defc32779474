"""Signs that a seed's text is not the whole seed, or more than text: pictures beside it, control tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ray_jobs.seeds.fields import RowProblem

CONTROL_TOKENS, PLACEHOLDER, MEDIA_NAME = "control_tokens", "media_placeholder", "media_column"
MEDIA = frozenset("images image videos video audios audio image_path image_paths img".split())
"""Columns in which pictures, videos and sound stand beside the text."""

_PLACEHOLDER = re.compile(r"<\|?(?:image|video|audio|img)(?:_?\d+|_pad|_token)?\|?>", re.IGNORECASE)
_CONTROL = re.compile(
    r"<\|[A-Za-z0-9_]{2,40}\|>|<｜[^｜<>]{2,40}｜>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|</s>"
    r"|\[/?INST\]|<</?SYS>>"
)


def signs_of(row: Mapping[str, object], text: str, more: str = "") -> tuple[str, ...]:
    """What is to be noted of a seed whose texts are `text` and `more`, by name.

    Raises RowProblem where it needs pictures or sound: the row has some, as a list or a file, or a name of one and
    a placeholder for it in the text.
    """
    marked = "<" in text or "[" in text or "<" in more or "[" in more
    if not marked and MEDIA.isdisjoint(row):
        return ()
    texts = f"{text}\n{more}"
    placeholder = _PLACEHOLDER.search(texts) is not None
    media = next((name for name in sorted(MEDIA.intersection(row)) if _is_filled(row[name])), None)
    if media is not None and (placeholder or not isinstance(row[media], str)):
        raise RowProblem("needs_media", f"expected a task in text alone, field {media!r} holds images, video or sound")
    found = {
        CONTROL_TOKENS: _CONTROL.search(texts) is not None,
        PLACEHOLDER: placeholder,
        MEDIA_NAME: media is not None,
    }
    return tuple(name for name, holds in found.items() if holds)


def _is_filled(value: object) -> bool:
    """Whether a column holds a medium: a name, bytes, or a list or an object of some."""
    if isinstance(value, list):
        return any(map(_is_filled, value))
    if isinstance(value, dict):
        return any(map(_is_filled, value.values()))
    return isinstance(value, str | bytes) and bool(value)
