"""What of a reply's text and ending is the model's answer, whichever engine it came from."""

from __future__ import annotations

import re

from evolve.errors import ReplyWithheld
from evolve.records import FinishReason

TELL = {"tell": True}
"""Marks, as a log record's `extra`, what whoever runs the engine is told once."""
_END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|user|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_turn>",
    "<turn|>",
    "<eos>",
    "</s>",
    "<｜end▁of▁sentence｜>",
    "[EOS]",
)
"""What ends a turn in the templates of common models, and is left in texts by servers that do not know it."""
_TURN = r"<\|im_start\|>{0}|<start_of_turn>{0}|<\|start_header_id\|>{0}(?:<\|end_header_id\|>)?"
_BEFORE = re.compile(rf"\s*+(?:{_TURN.format('(?:assistant|model)')})\s*")
"""The beginning of the model's own turn, which a server's template may have left to the model."""
_NEXT_TURN = re.compile(rf"(?:{_TURN.format('(?:system|user|assistant|model)?')})\s*\Z")
_NEXT_TURN_CHARACTERS = 80
_ENDED = frozenset({"", "stop", "eos", "eos_token", "stop_sequence", "stop_token", "end_turn", "complete", "completed"})
_CUT = frozenset({"length", "max_tokens", "max_token", "model_length", "max_length", "max_output_tokens"})


def clean(text: str) -> str:
    """`text` without NUL characters, which no seed may hold, and without the tokens of turns before and behind it."""
    if "\0" in text:
        text = text.replace("\0", "")
    if begun := _BEFORE.match(text):
        text = text[begun.end() :]
    begun = _NEXT_TURN.search(text, max(0, len(text) - _NEXT_TURN_CHARACTERS))
    return text[: _end(text, begun.start() if begun else len(text))]


def _end(text: str, end: int) -> int:
    """Where the text ends whose turn ends at `end`: before all end tokens there, or as it is where there is none."""
    removed, at = list[str](), end
    while True:
        while at and text[at - 1].isspace():
            at -= 1
        token = next((token for token in _END_TOKENS if text.endswith(token, 0, at)), None)
        if token is None:
            break
        removed.append(token)
        at -= len(token)
    # a text that strikes words out ends with the same tag as a turn of Llama's
    strikes = removed == ["</s>"] and "<s>" in text
    return at if removed and not strikes else len(text)


def finish(reason: str | None) -> FinishReason:
    """How a reply ended, by the engine's own word; one that says nothing has ended.

    Raises ReplyWithheld where it was neither finished nor cut at its limit, such as by a filter.
    """
    word = (reason or "").lower()
    if word in _ENDED:
        return "stop"
    if word in _CUT:
        return "length"
    known = {"function_call": "tool_calls", "tool_call": "tool_calls", "safety": "content_filter"}
    reason = known.get(word, word)
    shown = reason if re.fullmatch(r"[a-z_]{1,40}", reason) else "unknown_finish_reason"
    raise ReplyWithheld(shown, f"the reply is no finished answer: it ended with {word[:80]!r}")
