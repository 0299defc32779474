"""Verification functions with test cases, as a model writes them: one JSON object a reply."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from evolve.autoif.asking import ask
from evolve.autoif.loose import NotLoose, read_object, unfenced
from evolve.autoif.records import Case, Dropped, Verification
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Form, Sampling, Usage
from evolve.thoughts import part_inline

_CASE = {
    "type": "object",
    "properties": {"input": {"type": "string"}, "output": {"type": "boolean"}},
    "required": ["input", "output"],
    "additionalProperties": False,
}
FORM = Form(
    schema=json.dumps(
        {
            "type": "object",
            "properties": {"func": {"type": "string"}, "cases": {"type": "array", "items": _CASE, "minItems": 1}},
            "required": ["func", "cases"],
            "additionalProperties": False,
        }
    )
)
"""A function and its cases."""
_OBJECT_START = re.compile(r"""\{\s*(?:["']|(?:func|cases)\s*:)""")
_BARE_QUOTES = re.compile(r'("func"\s*:\s*")((?:(?!"func").)*?)("\s*,\s*"cases"\s*:)', re.DOTALL)
_CANDIDATES = 8
_PYTHON_WORD = re.compile(r'("output"\s*:\s*)(True|False)\b')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_JSON_ESCAPES = '"\\/bfnrtu'
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Verifications:
    """What K replies gave, in their order; `dropped` holds replies and cases that cannot be used."""

    verifications: tuple[Verification, ...]
    dropped: tuple[Dropped, ...]
    usage: Usage


def write_verifications(
    instruction: str, replies: int, template: Template, sampling: Sampling, rng: Random, forms: bool = False
) -> Flow[Verifications]:
    """Ask `replies` times for a function and its cases."""
    found: list[Verification] = []
    dropped: list[Dropped] = []
    usage = Usage()
    messages, form = template.messages(instruction=instruction), FORM if forms else None
    for _ in range(replies):
        reply, spent = yield from ask("verify", "reply", messages, sampling, rng, form)
        usage += spent
        if isinstance(reply, Dropped):
            dropped.append(reply)
            continue
        verification, bad = parse_verification(reply.text)
        dropped += bad
        if verification is not None:
            found.append(verification)
    return Verifications(tuple(found), tuple(dropped), usage)


def parse_verification(text: str) -> tuple[Verification | None, list[Dropped]]:
    """The function and the cases in a reply, and what of it fell with its reason.

    The object may stand in a code fence or bare, among prose, behind thoughts in <think> tags. Slips that models make
    are mended: line breaks inside strings, Python's True and False, backslashes that JSON does not know, other quotes,
    quotes within the function's text, commas too many, and what else `read_object` takes; a fence within the function's
    text is taken off. A reply whose function cannot be found falls whole; a case that cannot be used falls alone.
    Expected outputs may be booleans or the strings "true" and "false" in any case.
    """
    answer, thinks = part_inline(text).answer, text.lstrip().startswith("<think>")
    if not _OBJECT_START.search(answer if thinks else text):
        return None, [Dropped("verify", "reply", "no_json", text)]
    found = next(_objects(answer), None)
    if found is None and not thinks:
        # the closing tag may stand in the function's own text
        found = next(_objects(text), None)
    if found is None:
        return None, [Dropped("verify", "reply", "malformed_json", text)]
    function = found.get("func")
    if not isinstance(function, str) or not function.strip():
        return None, [Dropped("verify", "reply", "no_function", text)]
    cases, dropped = _cases(found.get("cases"))
    return Verification(unfenced(function).strip("\n"), tuple(cases)), dropped


def expected_output(value: Any) -> bool | None:
    """A case's expected output: true and "true" are one, so are false and "false"; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def _cases(value: Any) -> tuple[list[Case], list[Dropped]]:
    if not isinstance(value, list) or not value:
        return [], [Dropped("verify", "case", "no_cases", "", f"got {type(value).__name__}")]
    cases: list[Case] = []
    dropped: list[Dropped] = []
    for item in value:
        text = item.get("input") if isinstance(item, dict) else None
        expected = expected_output(item.get("output")) if isinstance(item, dict) else None
        if not isinstance(text, str):
            dropped.append(Dropped("verify", "case", "input_not_text", json.dumps(item)))
        elif expected is None:
            dropped.append(Dropped("verify", "case", "output_not_boolean", json.dumps(item)))
        else:
            cases.append(Case(text, expected))
    return cases, dropped


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects with the key "func"; the text as it is first, then with its slips mended, then read loosely."""
    for version in (text, _mended(text)):
        for start in list(_OBJECT_START.finditer(version))[:_CANDIDATES]:
            try:
                value, _ = _DECODER.raw_decode(version, start.start())
            except (ValueError, RecursionError):
                # no JSON, or with a number of more digits than Python reads
                continue
            if isinstance(value, dict) and "func" in value:
                yield value
    for version in (text, _BARE_QUOTES.sub(_quoted, text)):
        for start in list(_OBJECT_START.finditer(version))[:_CANDIDATES]:
            try:
                value = read_object(version, start.start())
            except NotLoose:
                continue
            if "func" in value:
                yield value


def _quoted(match: re.Match[str]) -> str:
    """A function's text with a backslash before each quote in it that has none."""
    return match[1] + re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', match[2]) + match[3]


def _mended(text: str) -> str:
    text = _PYTHON_WORD.sub(lambda match: match[1] + match[2].lower(), text)
    return _ESCAPE.sub(_known_escape, text)


def _known_escape(match: re.Match[str]) -> str:
    if match[1] in _JSON_ESCAPES:
        return match[0]
    return match[1] if match[1] in "'\n" else f"\\\\{match[1]}"
