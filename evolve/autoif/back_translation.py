"""Functions described back as instructions, so that their meaning can be compared with the original's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from evolve.autoif.asking import ask
from evolve.autoif.loose import unfenced
from evolve.autoif.records import Dropped
from evolve.flow import Flow
from evolve.prompts import Template
from evolve.records import Sampling, Usage


@dataclass(frozen=True, slots=True)
class BackTranslated:
    """Descriptions in the order of their functions; a reply that gives none falls."""

    instructions: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    usage: Usage


def back_translate(
    functions: Sequence[str], maximum: int, template: Template, sampling: Sampling, rng: Random
) -> Flow[BackTranslated]:
    """Ask for a description of up to `maximum` functions, drawn by `rng` where there are more."""
    drawn = (
        functions
        if len(functions) <= maximum
        else [functions[place] for place in _places(len(functions), maximum, rng)]
    )
    found: list[str] = []
    dropped: list[Dropped] = []
    usage = Usage()
    for function in drawn:
        messages = template.messages(function=function)
        reply, spent = yield from ask("back_translate", "back_translation", messages, sampling, rng)
        usage += spent
        if isinstance(reply, Dropped):
            dropped.append(reply)
            continue
        if described := parse_description(reply.text):
            found.append(described)
        else:
            dropped.append(Dropped("back_translate", "back_translation", "empty", reply.text))
    return BackTranslated(tuple(found), tuple(dropped), usage)


def parse_description(text: str) -> str:
    """The reply on one line, without a fence or quotes around it; empty where there is nothing."""
    line = " ".join(unfenced(text).split())
    return line[1:-1].strip() if len(line) > 1 and line[0] == line[-1] == '"' else line


def _places(count: int, maximum: int, rng: Random) -> list[int]:
    return sorted(rng.sample(range(count), maximum))
