"""From a conversation to the tokens that a model reads, by its tokenizer and chat template. Free of vLLM.

What texts say never becomes a control token unless it is asked for: a seed that holds a turn's end would end its own
turn and could begin one of the system's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from jinja2 import TemplateError

from evolve.engines.chat import Chat
from evolve.errors import ControlTokens, PromptRefused, SettingError
from evolve.records import Message

Control = Literal["split", "refuse", "keep"]
"""What becomes of control tokens in texts: they are read as text, their prompt is refused, or they are obeyed."""
_PROBE, _PROBE_END = "seven grey herons", "eight white storks"
_LONG_PROBE = "\n".join((_PROBE, "stand in the reeds, " * 100, _PROBE_END))
"""A text whose first and last line must reach the model."""
_FIRST_MARK, _LAST_MARK = 0xE000, 0xF8FF
"""Code points that stand for nothing, by which places in a rendered text are found again."""
Turn = dict[str, Any]


class Rendering:
    """Renders conversations for one model. Raises SettingError where its template cannot be used as `chat` says.

    A template that takes contents as lists of parts, as those of models that see pictures, is given them so.
    """

    def __init__(self, tokenizer: Any, chat: Chat, control: Control = "keep") -> None:
        self._tokenizer, self._chat, self._control = tokenizer, chat, control
        self._special = _special_tokens(tokenizer)
        self._parts = False
        if self._has_template:
            self._parts = self._wants_parts()

    def encode(self, messages: tuple[Message, ...]) -> list[int]:
        """The tokens of a prompt. Raises PromptRefused."""
        turns = self._chat.turns(messages)
        held = self._special and self._control != "keep" and any(self._special.search(t["content"]) for t in turns)
        try:
            if held:
                return self._encode_split(turns)
            if not self._has_template:
                return list(self._tokenizer.encode("\n\n".join(turn["content"] for turn in turns)))
            return list(self._rendered(turns, tokenize=True, return_dict=True)["input_ids"])
        except (UnicodeError, TypeError, ValueError, TemplateError) as error:
            raise PromptRefused(f"the prompt cannot be tokenised: {error}") from error

    def tail(self) -> int:
        """How many tokens the template puts behind the last turn's text; 0 without a template."""
        if not self._has_template:
            return 0
        text: str = self._rendered(self._chat.turns((Message("user", _PROBE),)), tokenize=False)
        behind = text[text.lower().rfind(_PROBE) + len(_PROBE) :]
        return len(self._tokenizer.encode(behind, add_special_tokens=False))

    @property
    def _has_template(self) -> bool:
        return self._chat.template is not None or own_template(self._tokenizer) is not None

    def _rendered(self, turns: Sequence[Turn], **how: Any) -> Any:
        if self._parts:
            turns = [turn | {"content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
        chat = self._chat
        return self._tokenizer.apply_chat_template(
            turns, chat_template=chat.template, add_generation_prompt=True, **how, **chat.arguments
        )

    def _encode_split(self, turns: Sequence[Turn]) -> list[int]:
        """The tokens where contents hold control tokens, which are read as what they are spelt of."""
        assert self._special
        if self._control == "refuse":
            found = next(found for turn in turns if (found := self._special.search(turn["content"])))
            raise ControlTokens(f"the prompt holds the control token {found[0]}")
        mark = _unused("".join(turn["content"] for turn in turns))
        spelt: list[str] = []

        def marked(found: re.Match[str]) -> str:
            spelt.append(found[0])
            return mark

        turns = [turn | {"content": self._special.sub(marked, turn["content"])} for turn in turns]
        if not self._has_template:
            text: str = "\n\n".join(turn["content"] for turn in turns)
            return self._pieces(text, mark, spelt, begins=True)
        return self._pieces(self._rendered(turns, tokenize=False), mark, spelt, begins=False)

    def _pieces(self, text: str, mark: str, spelt: Sequence[str], begins: bool) -> list[int]:
        first, *later = text.split(mark)
        if len(later) != len(spelt):
            raise ControlTokens("the prompt holds control tokens, and the chat template does not keep their order")
        tokens: list[int] = list(self._tokenizer.encode(first, add_special_tokens=begins))
        for special, piece in zip(spelt, later, strict=True):
            tokens += self._tokenizer.encode(special, add_special_tokens=False, split_special_tokens=True)
            tokens += self._tokenizer.encode(piece, add_special_tokens=False) if piece else []
        return tokens

    def _wants_parts(self) -> bool:
        """Whether the template keeps a text only as a part; one that keeps none, or a system prompt not, is no use."""
        problem, turns = "", self._chat.turns((Message("user", _LONG_PROBE),))
        for self._parts in (False, True):
            try:
                text = self._rendered(turns, tokenize=False)
            except Exception as error:  # a template is code of anybody's
                # that it takes no parts is nothing to tell
                problem = problem if self._parts else f"cannot be used as the engine is set: {error}"
                continue
            # one that takes texts alone writes a part as Python does
            if _PROBE in text.lower() and _PROBE_END in text.lower() and "'type': 'text'" not in text:
                if self._chat.system.strip() not in text:
                    raise SettingError("system: the chat template drops it")
                return self._parts
        raise SettingError(f"chat_template: {problem or 'drops what the user says: no prompt would reach the model'}")


def own_template(tokenizer: Any) -> str | None:
    """The tokenizer's own chat template; the default one where it has several."""
    found = tokenizer.chat_template
    return found.get("default") if isinstance(found, dict) else found


def _special_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches the control tokens of a tokenizer; None of one that has none, or never reads them in texts."""
    added = getattr(tokenizer, "added_tokens_decoder", None)
    if not isinstance(added, dict):
        return None
    special = {token.content for token in added.values() if token.special} | set(tokenizer.all_special_tokens)
    spelt = sorted((token for token in special if token.strip()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, spelt))) if spelt else None


def _unused(text: str) -> str:
    return next(chr(point) for point in range(_FIRST_MARK, _LAST_MARK + 1) if chr(point) not in text)
