"""What an OpenAI-compatible server answers with 200, read as far as servers agree on it.

A good reply is decoded as it comes, at next to no cost. What deviates from the form is read once more, with whatever is
missing or odd in it left out; an error in the place of a reply is told from a reply.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from evolve.alternatives import Option, answer_start, weigh
from evolve.engines.http_server import Odd, said
from evolve.engines.reasoning import CHANNELS, part_harmony
from evolve.engines.several import shares
from evolve.thoughts import Parted, part_inline

BAD_GATEWAY, TOO_MANY = 502, 429
SHOWN = 200
"""How many characters of a page are shown that is no JSON."""
_BUSY = re.compile(r"rate.?limit|too.?many.?requests|overloaded", re.IGNORECASE)
"""The words for an error of a server that wants fewer requests."""
_THOUGHTS = frozenset({"thinking", "reasoning"})
"""The types of a reply's parts that are no answer."""
_BROKE_OFF = frozenset({"error", "insufficient_system_resource"})
"""How choices end that an error of the server ended."""
_MOST = 2**31 - 1
Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


class Details(msgspec.Struct):
    """How many tokens were thought."""

    reasoning_tokens: Count | None = None


class Usage(msgspec.Struct):
    """Counts; servers leave them out, or send null for them."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    completion_tokens_details: Details | None = None


class Likely(msgspec.Struct):
    """One of a position's most likely tokens."""

    logprob: float
    token: str = ""


class Token(msgspec.Struct):
    """A position of the reply."""

    logprob: float
    top_logprobs: list[Likely] | None = None
    token: str = ""


class Logprobs(msgspec.Struct):
    """The positions of the reply."""

    content: list[Token] | None = None


class Message(msgspec.Struct):
    """What was said."""

    content: str | None = None
    refusal: Any = None
    reasoning: Any = None
    reasoning_content: Any = None


class Choice(msgspec.Struct):
    """One reply."""

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    error: Any = None


class Reply(msgspec.Struct):
    """What is read of a server's reply."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(Reply)


def read_reply(content: bytes) -> Reply:
    """The reply. Raises Odd where it is none: an error, a page of a proxy, or nothing at all."""
    try:
        reply = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reply = Reply()
    if not (reply.choices or reply.error):
        reply = _leniently(content)
    broken = reply.error or next((choice.error for choice in reply.choices if choice.error), None)
    if broken and not any(map(_has_text, reply.choices)):
        raise Odd(_status(broken), said(json.dumps(broken).encode()))
    if reply.choices and all(choice.finish_reason in _BROKE_OFF for choice in reply.choices):
        raise Odd(BAD_GATEWAY, "the reply broke off by an error of the server")
    return reply


def apart(reply: Reply) -> list[Reply]:
    """A reply a choice. Servers count the tokens of all together: each gets its share by characters.

    The first has the prompt's.
    """
    if len(reply.choices) < 2:
        return [reply]
    usage = reply.usage or Usage()
    lengths = [sum(len(text) for text in _written(choice.message)) for choice in reply.choices]
    tokens = shares(usage.completion_tokens or 0, lengths)
    read = [usage.prompt_tokens, *([0] * (len(lengths) - 1))]
    parts = zip(reply.choices, read, tokens, strict=True)
    return [Reply([choice], Usage(prompt, written)) for choice, prompt, written in parts]


def _written(message: Message) -> list[str]:
    texts = (message.content, message.reasoning or message.reasoning_content)
    return [text for text in texts if isinstance(text, str)]


def parted(choice: Choice) -> Parted:
    """What a server says was thought and answered; where it tells no thoughts, those inline before the answer.

    Thoughts without an answer did not end.
    """
    message, answer = choice.message, choice.message.content or ""
    reasoning = message.reasoning or message.reasoning_content
    if not isinstance(reasoning, str) or not reasoning.strip():
        return part_harmony(answer) if answer.lstrip().startswith(CHANNELS) else part_inline(answer)
    return Parted(reasoning.strip(), answer.strip(), ended=bool(answer.strip()))


def reasoning_tokens(reply: Reply, found: Parted, written: int) -> int:
    """The server's count; where it has none, the thoughts' share of the characters."""
    details = reply.usage.completion_tokens_details if reply.usage else None
    if details and details.reasoning_tokens:
        return min(details.reasoning_tokens, written)
    thought, answered = len(found.reasoning), len(found.answer)
    return round(written * thought / (thought + answered)) if thought else 0


def tops(choice: Choice) -> list[float]:
    """The probability of each position's most likely token; empty where the server tells none."""
    if choice.logprobs is None or not choice.logprobs.content:
        return []
    return [
        math.exp(min(0.0, max([t.logprob, *(other.logprob for other in t.top_logprobs or ())])))
        for t in choice.logprobs.content
    ]


def probabilities(choice: Choice, answers: Sequence[str], answer: str) -> tuple[float, ...] | None:
    """Those of `answers`, as far as the likeliest tokens of the reply tell them, which ends with `answer`.

    None where the server tells none, or where these leave more than a little open.
    """
    positions = [_options(token) for token in (choice.logprobs.content or () if choice.logprobs else ())]
    start = answer_start(positions, answer)
    found = None if start is None else weigh(answers, positions[start:])
    return found.shares() if found else None


def _options(token: Token) -> list[Option]:
    """The drawn token and the others."""
    likely = {token.token: token.logprob} | {
        other.token: other.logprob for other in token.top_logprobs or () if other.token != token.token
    }
    return [Option(text, math.exp(min(0.0, number))) for text, number in likely.items()]


def _has_text(choice: Choice) -> bool:
    return bool(choice.message.content) and choice.finish_reason != "error"


def _status(error: Any) -> int:
    """The status that an error in a 200 stands for; that of a gateway where it says none."""
    found = _mapping(error)
    code = found.get("code", found.get("status"))
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 0
    if 400 <= number < 600:
        return number
    return TOO_MANY if _BUSY.search(f"{code} {found.get('type')}") else BAD_GATEWAY


def _leniently(content: bytes) -> Reply:
    """What can be read of a reply in another form; also of one with halves of surrogate pairs, no JSON to everybody."""
    try:
        found = json.loads(content, strict=False)
    except (ValueError, RecursionError) as error:
        form = "JSON in UTF-8" if isinstance(error, UnicodeDecodeError) else "JSON"
        page = said(content)[:SHOWN] if content.strip() else "nothing"
        raise Odd(BAD_GATEWAY, f"expected {form}, got {page}", page=True) from None
    if not isinstance(found, dict):
        raise Odd(BAD_GATEWAY, f"expected a JSON object, got {json.dumps(found)[:SHOWN]}", page=True)
    if found.get("object") == "error":
        found = {"error": found}
    if not found.keys() & {"choices", "error"}:
        raise Odd(BAD_GATEWAY, f"expected choices, got {said(content)[:SHOWN]}", page=True)
    choices = found.get("choices")
    return Reply(
        [_choice(item) for item in choices if isinstance(item, dict)] if isinstance(choices, list) else [],
        _usage(found.get("usage")),
        found.get("error"),
    )


def _choice(found: Mapping[str, Any]) -> Choice:
    told = found.get("message") or found.get("delta")
    message = {"content": told} if isinstance(told, str) else _mapping(told)
    content, reason = message.get("content", found.get("text")), found.get("finish_reason")
    parts = [part for part in map(_mapping, content) if part] if isinstance(content, list) else []
    thoughts = [part.get("thinking", part.get("text")) for part in parts if part.get("type") in _THOUGHTS]
    return Choice(
        Message(
            _text(content),
            message.get("refusal") or _text([part.get("refusal") for part in parts]),
            _text(message.get("reasoning")) or _text(thoughts),
            _text(message.get("reasoning_content")),
        ),
        None if reason is None else str(reason),
        _logprobs(_mapping(found.get("logprobs")).get("content")),
        found.get("error"),
    )


def _text(content: Any) -> str | None:
    """A text, or the texts of its parts one after the other, without what was thought."""
    if isinstance(content, Mapping):
        return None if content.get("type") in _THOUGHTS else _text(content.get("text", content.get("value")))
    if isinstance(content, list):
        return "".join(_text(part) or "" for part in content)
    return content if isinstance(content, str) else None


def _logprobs(content: Any) -> Logprobs | None:
    """The positions, if each tells a number."""
    if not isinstance(content, list):
        return None
    tokens = []
    for item in map(_mapping, content):
        others = item.get("top_logprobs")
        found = [_number(_mapping(other).get("logprob")) for other in others] if isinstance(others, list) else []
        known = [number for number in (_number(item.get("logprob")), *found) if number is not None]
        if not known:
            return None
        tokens.append(Token(max(known)))
    return Logprobs(tokens)


def _usage(found: Any) -> Usage:
    counts = _mapping(found)
    details = _mapping(counts.get("completion_tokens_details"))
    return Usage(
        _count(counts.get("prompt_tokens")),
        _count(counts.get("completion_tokens")),
        Details(_count(details.get("reasoning_tokens"))),
    )


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or not 0 <= number <= _MOST else int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
