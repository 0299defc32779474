"""Reads the reply of Auto Evol-Instruct (arXiv 2406.00770): methods, plan and the final instruction.

Models vary the headings: bold, numbered, behind a step's number, with or without a colon, with the text beside
or below. A strict reading loses a fifth of all replies (arXiv 2412.11231 keeps 40,483 of 51,983 for Alpaca), so
this one accepts all of these, but never guesses: a reply without the last heading has no final instruction.

The initial method has four steps. A better one may have any number of them, with headings of its own; of these only
the last is needed, and methods and plan are read where their headings are there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOUN = r"(?:instruction|prompt|task|question|problem|version)s?"
_REWRITTEN = r"(?:re-?writt?en|revised|evolved|updated|improved)"
_NAMES = {
    "methods": r"(?:list[ \t]+of[ \t]+|possible[ \t]+|the[ \t]+)*methods?(?:[ \t_-]+list)?",
    "plan": r"(?:(?:the|my|a|comprehensive|detailed|create|rewriting)[ \t]+)*plan",
    "rewritten": rf"(?:the[ \t]+)?{_REWRITTEN}[ \t_-]+{_NOUN}",
    "final": (
        r"(?:so,?[ \t]+)?(?:review(?:ed)?[ \t]*(?:and|&|,|:|/)[ \t]*)?(?:here(?:'s|’s|[ \t]+is)[ \t]+)?"
        r"(?:(?:the|my|your)[ \t]+)?"
        rf"(?:final(?:ly|ized|ised)?[ \t_-]+{_REWRITTEN}[ \t_-]+{_NOUN}|final[ \t_-]+(?:instruction|prompt|rewrite))"
    ),
}
_STEPS = {"methods": 1, "plan": 2, "rewritten": 3}
"""What a step's number alone says, in replies that have no more steps than the initial method."""
_INITIAL_STEPS = 4
# Repeats of mark-up and white space are possessive (*+): models do end in endless lines of them, and a regular
# expression that tries every way to split such a line takes quadratic time.
_LEAD = r"^[ \t>#*_\-\d.)(]*+"
_STEP = r"step[ \t]*+{}\b[#*_ \t]*+[:.)\-–—]*+"
# A heading ends with a colon or dash, with the mark-up that encloses it, or with its line.
_TAIL = (
    r"(?:[ \t]*+(?:\([^)\n]*\)[ \t]*+)?(?:is(?:[ \t]+as[ \t]+follows)?)?[#*_\"”)\]]*+[ \t]*+"
    r"(?:[:：]|(?<=[ \t])[-–—](?=[ \t]))[#*_]*+"
    r"|[#*_\"”\]]++(?=\s|$)"
    r"|[ \t]*+$)"
)
_HEADINGS = {
    kind: re.compile(
        rf"{_LEAD}(?:{_STEP.format('[0-9]+')})?[#*_\"“\[( \t]*+{name}{_TAIL}", re.IGNORECASE | re.MULTILINE
    )
    for kind, name in _NAMES.items()
}
_NUMBERED = {
    kind: re.compile(rf"{_LEAD}{_STEP.format(number)}[#*_]*", re.IGNORECASE | re.MULTILINE)
    for kind, number in _STEPS.items()
}
_ANY_STEP = re.compile(rf"{_LEAD}step[ \t]*+(\d{{1,3}})\b", re.IGNORECASE | re.MULTILINE)
_ITEM = re.compile(r"^([ \t]*)(?:[-*•+]|\(?\d+[.):]|[a-z][.)])[ \t]+(.*)$")
_RULE = re.compile(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,}|={3,})[ \t]*$")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)")
# What models say about their rewriting once they are done. It counts only at the start of a paragraph,
# and first-person or "note" sentences only where they speak of the rewriting, since a task may hold such sentences.
_COMMENTARY = re.compile(
    r"""[ \t>#*_(\[]*+(?:
      (?:explanation|rationale|justification|changes(?:\ made)?|(?:summary|list)\ of\ changes|key\ changes|
         modifications|review(?:\ notes)?|commentary|word\ count)[*_]*[ ]*(?::|$)
    | notes?[*_]*:.*\b(?:rewr\w+|instruction|version|words|methods?|plan|complexity)\b
    | (?:this|the)\ (?:(?:final(?:ly)?|new)\ )?(?:rewritten|revised|evolved|updated)
         \ (?:instruction|version|task|prompt)\b
    | this\ (?:final\ |new\ )?(?:version|instruction|rewrite)\ (?:now\ )?
         (?:adds|asks|combines|has|includes|incorporates|increases|introduces|is|keeps|maintains|makes|requires)\b
    | i(?:'ve|’ve|\ have)?\ (?:added|made|rewrote|rewritten|reviewed|incorporated|used|kept|combined|increased)\b
         .*\b(?:instruction|words|constraints?|methods?|plan|complexity|version)\b
    | (?:please\ )?let\ me\ know\b | i\ hope\ this\b | hope\ this\ helps | feel\ free\ to\ ask
    | (?:added\ )?\d+\ (?:(?:added|additional|extra|more|new)\ words?|words?\ (?:added|longer|more))\b.*\)[*_ ]*$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_QUOTES = {'"': '"', "“": "”", "«": "»"}
_WHOLE_FENCE = re.compile(r"\A(?:```|~~~)(?:text|plaintext|markdown|md)?[ \t]*\n(.*)\n(?:```|~~~)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sections:
    """What a reply says. `final` is None without the last heading, and empty where nothing stands below it."""

    methods: tuple[str, ...]
    plan: str
    final: str | None


@dataclass(frozen=True, slots=True)
class _Heading:
    kind: str
    start: int
    end: int


def parse_reply(text: str) -> Sections:
    """Split a reply at its headings. Of several final instructions the last one that is not empty counts."""
    headings = sorted(_headings(text), key=lambda heading: heading.start)
    methods = _first(text, headings, "methods")
    return Sections(tuple(_items(methods)), _first(text, headings, "plan"), _final(text, headings))


def _headings(text: str) -> list[_Heading]:
    found = list[_Heading]()
    final = _HEADINGS["final"].search(text)
    # the final instruction may have steps of its own
    steps = list(_ANY_STEP.finditer(text[: final.start()] if final else text))
    numbered = max((int(step[1]) for step in steps), default=0) <= _INITIAL_STEPS
    for kind, pattern in _HEADINGS.items():
        matches = list(pattern.finditer(text))
        if not matches and numbered and kind in _NUMBERED:
            matches = list(_NUMBERED[kind].finditer(text))[:1]
        found += [_Heading(kind, match.start(), match.end()) for match in matches]
    if not numbered:
        named = {heading.start for heading in found}
        found += [_Heading("step", step.start(), step.end()) for step in steps if step.start() not in named]
    return found


def _first(text: str, headings: list[_Heading], kind: str) -> str:
    """The text below the first heading of `kind`, up to the next heading of any kind."""
    for index, heading in enumerate(headings):
        if heading.kind == kind:
            end = headings[index + 1].start if index + 1 < len(headings) else len(text)
            return text[heading.end : end].strip()
    return ""


def _final(text: str, headings: list[_Heading]) -> str | None:
    # Only its own heading ends it: a task may well hold a line such as "Plan:".
    finals = [heading for heading in headings if heading.kind == "final"]
    if not finals:
        return None
    ends = [*(heading.start for heading in finals[1:]), len(text)]
    bodies = [_unwrap(_without_commentary(text[final.end : end])) for final, end in zip(finals, ends, strict=True)]
    return next(filter(None, reversed(bodies)), "")


def _items(text: str) -> list[str]:
    """The entries of a list; lines that continue an entry or are indented below it belong to it."""
    items, depth = list[list[str]](), None
    for line in filter(str.strip, text.splitlines()):
        marked = _ITEM.match(line)
        if marked and (depth is None or len(marked[1]) <= depth):
            depth = len(marked[1])
            items.append([marked[2]])
        elif depth is None:
            items.append([line])
        else:
            items[-1].append((marked[2] if marked else line).strip())
    return [" ".join(parts).replace("**", "").strip() for parts in items]


def _without_commentary(text: str) -> str:
    lines = text.strip().splitlines()
    fenced, kept = False, len(lines)
    for number, line in enumerate(lines):
        fenced ^= bool(_FENCE.match(line))
        opens = number > 0 and _is_break(lines[number - 1])
        if opens and not fenced and _COMMENTARY.match(line):
            kept = number
            break
    while kept and _is_break(lines[kept - 1]):
        kept -= 1
    return "\n".join(lines[:kept])


def _is_break(line: str) -> bool:
    return not line.strip() or _RULE.match(line) is not None


def _unwrap(text: str) -> str:
    """Take off quotes, bold marks or a fence that enclose the whole text."""
    if (fence := _WHOLE_FENCE.match(text)) and "```" not in fence[1]:
        return fence[1].strip()
    if text.startswith("**") and text.endswith("**") and text.count("**") == 2:
        text = text[2:-2].strip()
    closing = _QUOTES.get(text[:1])
    inside = text[1:-1]
    if closing and len(text) > 1 and text[-1] == closing and text[0] not in inside and closing not in inside:
        return inside.strip()
    return text
