"""Self-instruct: new instructions like the seeds (arXiv 2406.13542, Section 3.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from evolve.autoif.asking import ask
from evolve.autoif.duplicates import Duplicates
from evolve.autoif.records import Dropped, Reply
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Sampling, Usage

MAX_CHARACTERS = 400
_MARKER = re.compile(r"^\s*(?:[-*•]|\(?\d{1,4}[.):])\s+")
_FENCES = ("```", "~~~")
_QUOTES = {'"': '"', "'": "'", "“": "”", "`": "`"}


@dataclass(frozen=True, slots=True)
class Augmented:
    """What one call gave: instructions in the order of the reply, and lines that are none."""

    instructions: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    usage: Usage


def augment(seeds: Sequence[str], count: int, template: Template, sampling: Sampling, rng: Random) -> Flow[Augmented]:
    """Ask once for `count` new instructions. Duplicates are left to `keep_new`, which sees all calls."""
    messages = template.messages(instructions="\n".join(seeds), count=str(count))
    reply, usage = yield from ask("augment", "reply", messages, sampling, rng)
    if isinstance(reply, Dropped):
        return Augmented((), (reply,), usage)
    instructions, dropped = parse_instructions(reply)
    return Augmented(tuple(instructions), tuple(dropped), usage)


def parse_instructions(reply: Reply) -> tuple[list[str], list[Dropped]]:
    """One instruction a line, without its number, bullet or quotes; lines of a code fence are none.

    Where at least two lines carry a number or a bullet, lines without one are the model's own remarks.
    """
    lines = [line for line in reply.text.splitlines() if line.strip() and not line.strip().startswith(_FENCES)]
    listed = sum(bool(_MARKER.match(line)) for line in lines) >= 2
    instructions: list[str] = []
    dropped: list[Dropped] = []
    for index, line in enumerate(lines):
        last = index == len(lines) - 1
        text = _bare(line)
        if reason := _reason(line, text, listed, cut=reply.truncated and last):
            dropped.append(Dropped("augment", "instruction", reason, line.strip()))
        else:
            instructions.append(text)
    return instructions, dropped


def keep_new(instructions: Sequence[str], seen: Duplicates) -> tuple[list[str], list[Dropped]]:
    """Those of `instructions` that are not like any `seen` before; `seen` then holds them too."""
    kept: list[str] = []
    dropped: list[Dropped] = []
    for text in instructions:
        if (found := seen.add(text)) is None:
            kept.append(text)
        else:
            dropped.append(Dropped("augment", "instruction", found[0], text, f"of: {found[1]}"))
    return kept, dropped


def _bare(line: str) -> str:
    text = _MARKER.sub("", line).strip().strip("*").strip()
    if text[:1] in _QUOTES:
        text = text.removesuffix(",")  # an element of a list in JSON
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _reason(line: str, text: str, listed: bool, cut: bool) -> str | None:
    if cut:
        return "truncated"
    if text.endswith(":"):
        return "heading"
    if listed and not _MARKER.match(line):
        return "not_in_the_list"
    if len(text) > MAX_CHARACTERS:
        return "too_long"
    return None if any(character.isalpha() for character in text) else "no_words"
