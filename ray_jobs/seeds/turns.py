"""Rows that hold a conversation: its first exchange becomes an instruction and an output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_jobs.seeds.fields import ABSENT, RowProblem, filled, shown, text_of, top_of, value_at
from ray_jobs.seeds.layouts import Children, Example, listed
from ray_jobs.seeds.signs import MEDIA, signs_of

USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
UNKNOWN_ROLE = "unknown_role"
FIELDS = ("messages", "conversations", "conversation")
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text", "parts")

_SPELLINGS = {
    USER: "user human prompter",
    ASSISTANT: "assistant gpt model ai bot chatbot chatgpt bing bard claude gemini llm",
    SYSTEM: "system developer",
    # they answer nobody
    TOOL: "tool function function_call function_response observation tool_call tool_response tool_result ipython",
}
_ROLES = {spelling: role for role, spellings in _SPELLINGS.items() for spelling in spellings.split()}
_REASONING = ("thinking", "reasoning", "redacted_thinking")


class TurnsLayout:
    """A conversation in a list of turns: `[{role_key: "user", content_key: "…"}, …]`.

    The first user turn is the instruction and the first answer after it the output; where the user speaks several
    times before that answer, or nobody answers, all of it is the instruction. System turns and what follows are left
    out and counted: a system text sets a tone for its own model and is no `input` to the task, and later turns make no
    sense without those before.

    `field` is where the conversation is looked for first, then under the other names of FIELDS, then one level
    down; with a `path` it is looked for there alone. So with the names of role and content. The list may also be JSON
    in a text, or an object of two lists.
    """

    holds_text = False
    texts = ()

    def __init__(self, field: str, role_key: str, content_key: str, path: str = "") -> None:
        self._field, self._path = field, path
        self._names = (path,) if path else tuple(dict.fromkeys((field, *FIELDS)))
        self._roles = tuple(dict.fromkeys((role_key, *ROLE_KEYS)))
        self._contents = tuple(dict.fromkeys((content_key, *CONTENT_KEYS)))

    def missing(self, children: Children) -> tuple[str, str] | None:
        """The conversation, where no name of it is there."""
        return None if self._tops(children) else ("conversation", self._names[0])

    def used(self, children: Children) -> list[str]:
        """The columns that may hold the conversation, and those of media."""
        return [*self._tops(children), *sorted(MEDIA.intersection(children))]

    def paths(self, children: Children) -> dict[str, str]:
        """The conversation, where it is a column or one level below one."""
        top = self._tops(children)[0]
        if self._path or top in self._names:
            return {"conversation": self._path or top}
        return {"conversation": next(f"{top}.{name}" for name in self._names if name in children[top])}

    def complaint(self, rows: Sequence[Mapping[str, object]]) -> str | None:  # noqa: ARG002
        """None: what is wrong with a conversation differs from row to row."""
        return None

    def read(self, row: Mapping[str, object]) -> Example:
        """Raises RowProblem where there is no list of turns, one that counts is malformed, or no user speaks."""
        where = self._where(row)
        if where is None:
            raise RowProblem("missing_field", f"expected a field {self._names[0]!r}, the row has {listed(row)}")
        turns = _turns(value_at(row, where), f"field {where!r}")
        example = _Conversation(turns, where, self._roles, self._contents).example()
        return example._replace(notes=(*example.notes, *signs_of(row, example.instruction)))

    def _tops(self, children: Children) -> list[str]:
        present = set(children)
        if self._path:
            top = top_of(self._path, present)
            return [top] if top else []
        names = [name for name in self._names if name in present]
        return names or [top for top, below in children.items() if any(name in below for name in self._names)]

    def _where(self, row: Mapping[str, object]) -> str | None:
        """The path of the conversation; of several names that are there, the first with a value."""
        there = [name for name in self._names if value_at(row, name) is not ABSENT]
        if not there:
            return next(_below(row, self._names), None)
        return next((name for name in there if value_at(row, name) is not None), there[0])


def _below(row: Mapping[str, object], names: Sequence[str]) -> Iterator[str]:
    for top, value in row.items():
        if isinstance(value, dict):
            yield from (f"{top}.{name}" for name in names if name in value)


def _turns(value: object, place: str) -> list[object]:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return _turns(json.loads(value), place)
        except (ValueError, RecursionError):
            pass  # a text that only begins like JSON is told below
    if isinstance(value, dict) and value and all(isinstance(item, list) for item in value.values()):
        # a list of objects, column by column, as the datasets library stores it
        if len({len(item) for item in value.values()}) == 1:
            return [dict(zip(value, turn, strict=True)) for turn in zip(*value.values(), strict=True)]
        raise RowProblem("bad_conversation", f"{place}: expected lists of one length, got some of several")
    if not isinstance(value, list):
        raise RowProblem("wrong_type", f"{place}: expected a list of turns, got {shown(value)}")
    return value


class _Conversation:
    """The turns of one row, whose messages name the field `where` and the turn."""

    def __init__(
        self, turns: Sequence[object], where: str, role_keys: Sequence[str], content_keys: Sequence[str]
    ) -> None:
        self._where, self._role_keys, self._content_keys = where, role_keys, content_keys
        self._turns = [self._object(turn, number) for number, turn in enumerate(turns, 1)]
        self._spelt = [self._role(turn, number) for number, turn in enumerate(self._turns, 1)]
        self._roles = [_role_of(spelt) for spelt in self._spelt]

    def example(self) -> Example:
        """The first exchange."""
        if USER not in self._roles:
            found = f"turns of {', '.join(dict.fromkeys(map(repr, self._spelt)))}" if self._spelt else "none"
            text = f"field {self._where!r}: expected a turn of the user, found {found}"
            raise RowProblem("bad_conversation", text)
        asked = self._roles.index(USER)
        answered = self._answer(asked)
        users = [number for number, role in enumerate(self._roles) if role == USER]
        last = users[-1] if answered is None else answered
        questions = [number for number in users if number <= last]
        texts = [self._text(number) or "" for number in questions]
        instruction = filled("\n\n".join(text for text in texts if text.strip()), self._place(asked + 1))
        output = "" if answered is None else self._text(answered, silent=True) or ""
        later = sum(role != SYSTEM for role in self._roles[last + 1 :])
        unknown = (UNKNOWN_ROLE,) if any(role not in _SPELLINGS for role in self._roles) else ()
        return Example(instruction, "", output, self._roles.count(SYSTEM), later, unknown)

    def _answer(self, asked: int) -> int | None:
        """The first turn of the assistant after `asked`: the first with a content, before the user speaks again."""
        first: int | None = None
        unknown: int | None = None
        for number in range(asked + 1, len(self._roles)):
            role = self._roles[number]
            if role == ASSISTANT and self._content(number) is not None:
                return number
            if role == ASSISTANT:
                first = number if first is None else first  # one that calls a tool has no content
            elif role == USER and (first is not None or unknown is not None):
                break
            elif role not in _SPELLINGS:
                unknown = number if unknown is None else unknown
        if unknown is not None and first is None:
            known = ", ".join(_SPELLINGS[ASSISTANT].split()[:4])
            text = (
                f"{self._place(unknown + 1)}: unknown role {self._spelt[unknown]!r}; an answer's is one of {known}, …"
            )
            raise RowProblem("unknown_role", text)
        return first

    def _object(self, turn: object, number: int) -> dict[str, Any]:
        if not isinstance(turn, dict):
            raise RowProblem("bad_conversation", f"{self._place(number)}: expected an object, got {shown(turn)}")
        return turn

    def _role(self, turn: Mapping[str, object], number: int) -> str:
        role = _first(turn, self._role_keys)
        if not isinstance(role, str):
            text = f"{self._place(number)}: expected a role in {self._role_keys[0]!r}, got {shown(role)}"
            raise RowProblem("bad_conversation", f"{text}; the turn has {listed(turn)}")
        return role

    def _content(self, number: int) -> object:
        return _first(self._turns[number], self._content_keys)

    def _text(self, number: int, silent: bool = False) -> str | None:
        """A turn's text; None for an answer without content, where `silent` says that there may be none."""
        place = f"{self._place(number + 1)}, {self._content_keys[0]!r}"
        content = self._content(number)
        if content is None and silent:
            return None
        if isinstance(content, dict):
            content = content.get("parts") if isinstance(content.get("parts"), list) else [content]
        if isinstance(content, list):
            texts = [part for item in content if (part := _part(item, place)) is not None]
            return "\n".join(texts)
        return text_of(content, place)

    def _place(self, number: int) -> str:
        return f"field {self._where!r}, turn {number}"


def _first(turn: Mapping[str, object], keys: Sequence[str]) -> object:
    return next((turn[key] for key in keys if turn.get(key) is not None), None)


def _role_of(spelt: str) -> str:
    folded = spelt.strip().casefold()
    return ASSISTANT if folded.startswith(("gpt-", "gpt4", "gpt3")) else _ROLES.get(folded, folded)


def _part(part: object, place: str) -> str | None:
    """The text of one part of a content; None of what a model thought aloud."""
    if isinstance(part, str):
        return text_of(part, place)
    kind = part.get("type", "text") if isinstance(part, dict) else part
    if not isinstance(part, dict) or kind not in ("text", "input_text", "output_text", None, *_REASONING):
        raise RowProblem("bad_conversation", f"{place}: expected parts of type 'text', got {shown(kind)}")
    if kind in _REASONING:
        return None
    text = _first(part, ("text", "value", "content"))
    if isinstance(text, dict):
        text = text.get("value")
    if text is None:
        raise RowProblem("wrong_type", f"{place}: expected a part with 'text', the part has {listed(part)}")
    return text_of(text, place)
