"""vLLM's parsers of reasoning, used on whole replies outside its server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from vllm.reasoning import ReasoningParserManager

from evolve.engines.reasoning import HARMONY, NONE, part_harmony
from evolve.errors import SettingError
from evolve.thoughts import Parted


class Thoughts:
    """One model's way of thinking aloud, read by vLLM's parser `name`. Raises SettingError where it cannot be.

    The last `tail` tokens of a prompt are the template's: what a text says of thoughts opens none.
    """

    def __init__(self, name: str, tokenizer: Any, arguments: Mapping[str, Any], tail: int) -> None:
        known = ReasoningParserManager.list_registered()
        if name not in known:
            near = get_close_matches(name, known, 1, 0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingError(f"reasoning: vLLM has no parser {name}{hint} (auto, {NONE}, {', '.join(known)})")
        self.name, self._harmony = name, name == HARMONY
        self._tokenizer, self._tail = tokenizer, tail
        try:
            made = ReasoningParserManager.get_reasoning_parser(name)
            self._parser = made(tokenizer, chat_template_kwargs=dict(arguments))
        except (RuntimeError, ValueError, ImportError) as error:
            raise SettingError(f"reasoning: the parser {name} does not fit this model: {error}") from error
        self._start, self._end = self._parser.reasoning_start_str, self._parser.reasoning_end_str
        special = set(tokenizer.all_special_tokens)
        self.keep_special = self._harmony or bool({self._start, self._end} & special)
        """Whether the marks are control tokens, which vLLM leaves out of texts unless it is asked not to."""

    def opened(self, prompt: Sequence[int]) -> bool | None:
        """Whether a prompt ends within the thoughts (True) or behind them (False); None where it says nothing."""
        if self._harmony or not self._tail:
            return None
        tail = self._tokenizer.decode(list(prompt[-self._tail :])).rstrip()
        # a template may begin the thoughts as well
        if self._start and self._start in tail and not (self._end and self._end in tail.rpartition(self._start)[2]):
            return True
        return False if self._end and tail.endswith(self._end) else None

    def part(self, text: str, tokens: Sequence[int], opened: bool | None) -> tuple[Parted, int]:
        """The reply `text` to a prompt that is `opened` as the method says, and its tokens of reasoning.

        vLLM's parsers take a text without marks for reasoning; where the prompt does not open it, it is an answer.
        """
        parted = Parted("", text) if opened is False else self._part(text, bool(opened))
        return parted, self._tokens(parted, text, tokens)

    def _part(self, text: str, opened: bool) -> Parted:
        if self._harmony:
            return part_harmony(text)
        start, end = self._start, self._end
        if start and end and not opened and start not in text and end not in text:
            return Parted("", text)
        reasoning, answer = self._parser.extract_reasoning(text, None)  # type: ignore[arg-type]  # servers give a request
        ended = bool(answer) or (end is not None and end in text) or not (reasoning or opened)
        cut = len(text) - len(answer) if answer and text.endswith(answer) else len(text) if reasoning else 0
        return Parted((reasoning or "").strip(), (answer or "").strip(), ended, cut)

    def _tokens(self, parted: Parted, text: str, tokens: Sequence[int]) -> int:
        if not parted.ended or parted.cut >= len(text) > 0:
            return len(tokens)
        if not parted.cut:
            return 0
        return min(len(self._tokenizer.encode(text[: parted.cut], add_special_tokens=False)), len(tokens))
