"""From a pair's text to token ids, by the paper's plain rule or through a chat template.

The rule (arXiv 2412.11231 and its published code): Q is the instruction, or instruction + "\\n" + input.
The joint text Q + "\\n" + A is tokenised once, with the tokenizer's own special tokens, and cut at
len(tokenise(Q)): what lies before is the instruction's, the rest the answer's. A is tokenised alone as
well. Ids of Q and A are never joined, since a token may straddle the border.

The chat form puts Q in the user's turn of the model's template and A behind the assistant's header. Only
the text of the user's turn counts as Q, and A "alone" stands behind the assistant's header, so that L(A|Q)
and L(A) average over the same tokens. Borders are cut the same way: at the number of tokens of the text
before them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from scoring.errors import ModelUnsupported
from scoring.records import Pair

_MARK = "\u2063evolved\u2063"


class TextTokenizer(Protocol):
    """What scoring needs of a tokenizer."""

    special_tokens: dict[int, str]
    bos_id: int | None

    def encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        """Token ids of each text, never truncated or padded; with the default special tokens if `special`."""
        ...

    def chat(self, content: str, *, generation_prompt: bool) -> str:
        """The text of a chat of one user turn; raises `ModelUnsupported` where there is no template."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A pair as ids: Q's own tokens are joint[q_start:q_stop], A's are joint[a_start:] and alone[a_lead:]."""

    q_start: int
    q_stop: int
    a_start: int
    a_lead: int
    joint: list[int]
    alone: list[int]


class PlainEncoder:
    """The paper's rule. `frame` counts the ids that even an empty text has, such as BOS."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self.frame = Counter(tokenizer.encode([""], special=True)[0])

    def __call__(self, pairs: Sequence[Pair]) -> Iterator[EncodedPair]:
        """The pairs' ids, in order; without a response `joint` is Q alone and `alone` empty."""
        texts = [text for p in pairs for text in (p.question, f"{p.question}\n{p.output}", p.output)]
        ids = self._tokenizer.encode(texts, special=True)
        for pair, q, joint, alone in zip(pairs, ids[::3], ids[1::3], ids[2::3], strict=True):
            whole, answer = (joint, alone) if pair.output else (q, [])
            yield EncodedPair(0, len(q), len(q), 0, whole, answer)


class ChatEncoder:
    """The rule inside the model's chat template; raises `ModelUnsupported` unless that shows Q once."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        closed = tokenizer.chat(_MARK, generation_prompt=False)
        opened = tokenizer.chat(_MARK, generation_prompt=True)
        if opened.count(_MARK) != 1:
            raise ModelUnsupported(
                "mode 'chat': the chat template does not show the user's turn exactly once; use 'plain'"
            )
        self._tokenizer = tokenizer
        self._before, self._after = opened.split(_MARK)
        self._trims = tokenizer.chat(f" {_MARK} ", generation_prompt=True) == opened
        self._header = opened.removeprefix(closed) if opened.startswith(closed) else ""
        before, header, frame = tokenizer.encode(
            [self._before, self._header, self._before + self._after], special=False
        )
        self._q_start, self._header_ids, self.frame = len(before), header, Counter(frame)
        default = tokenizer.encode([""], special=True)[0]
        self._bos = default[:1] if default[:1] == [tokenizer.bos_id] else []

    def __call__(self, pairs: Sequence[Pair]) -> Iterator[EncodedPair]:
        """The pairs' ids, in order; without a response `joint` is the prompt and `alone` empty."""
        ids = self._tokenizer.encode([text for p in pairs for text in self._texts(p)], special=False)
        lead = len(self._bos) + len(self._header_ids)
        for pair, q, prompt, joint, alone in zip(pairs, ids[::4], ids[1::4], ids[2::4], ids[3::4], strict=True):
            whole, answer = (joint, self._bos + alone) if pair.output else (prompt, [])
            yield EncodedPair(self._q_start, len(q), len(prompt), lead, whole, answer)

    def _texts(self, pair: Pair) -> tuple[str, str, str, str]:
        question = pair.question.strip() if self._trims else pair.question
        opened = self._before + question
        prompt = opened + self._after
        return opened, prompt, prompt + pair.output, self._header + pair.output
