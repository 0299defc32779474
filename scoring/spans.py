"""Which tokens of which sequences each loss of a pair averages over, and what is to be said about the pair.

One pass over the joint sequence gives L(Q) and L(A|Q), a second over the answer alone L(A). A loss without
a token to average over has no span; `TokenisedPair.notes` says why.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, compress
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scoring.config import Mode
from scoring.encoding import ChatEncoder, EncodedPair, PlainEncoder, TextTokenizer
from scoring.records import Pair

LossName = Literal["q", "a_given_q", "a"]

INVALID_UNICODE = "invalid Unicode: a lone surrogate"
EMPTY_INSTRUCTION = "empty instruction: L(Q) is undefined"
ONE_TOKEN_INSTRUCTION = "instruction of one token: L(Q) is undefined"
EMPTY_RESPONSE = "empty response: L(A|Q) and L(A) are undefined"
ONE_TOKEN_RESPONSE = "response of one token without BOS: L(A) is undefined"
NO_RESPONSE_TOKEN = "no token of the response behind the instruction: L(A|Q) is undefined"


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` to `stop` (exclusive), 1 <= start < stop, whose mean cross-entropy is `loss`."""

    loss: LossName
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One sequence to run through the model, with at least one span; spans are disjoint and in order."""

    ids: list[int]
    spans: tuple[Span, ...]


def scored(sequences: Sequence[TokenSequence], starts: Sequence[int]) -> tuple[list[int], list[int]]:
    """For each token in a span, in order: the flat place of the token before it, which predicts it; its id.

    Sequence i starts at flat place starts[i].
    """
    places: list[int] = []
    targets: list[int] = []
    for start, sequence in zip(starts, sequences, strict=True):
        for span in sequence.spans:
            places.extend(range(start + span.start - 1, start + span.stop - 1))
            targets.extend(sequence.ids[span.start : span.stop])
    return places, targets


def span_means(sequences: Sequence[TokenSequence], nll: NDArray[np.float32]) -> list[tuple[float, ...]]:
    """The mean of each span of each sequence, in float64; `nll` in the order of `scored`."""
    lengths = [len(span) for sequence in sequences for span in sequence.spans]
    sums = np.add.reduceat(nll.astype(np.float64), [0, *accumulate(lengths[:-1])])
    means = iter((sums / lengths).tolist())
    return [tuple(next(means) for _ in sequence.spans) for sequence in sequences]


@dataclass(frozen=True, slots=True)
class TokenisedPair:
    """The sequences that give a pair's losses, and notes on losses that are missing or doubtful."""

    sequences: tuple[TokenSequence, ...]
    notes: tuple[str, ...]

    def count(self, loss: LossName) -> int:
        """Positions that `loss` averages over, 0 where it is undefined."""
        return sum(len(span) for sequence in self.sequences for span in sequence.spans if span.loss == loss)


class PairTokeniser:
    """Applies the rule to pairs, under one mode and one limit of length in tokens (None: no limit)."""

    def __init__(self, tokenizer: TextTokenizer, mode: Mode, max_length: int | None, truncate: bool) -> None:
        self._encode = ChatEncoder(tokenizer) if mode == "chat" else PlainEncoder(tokenizer)
        self._special_tokens = tokenizer.special_tokens
        self._max_length = max_length
        self._truncate = truncate

    def __call__(self, pairs: Sequence[Pair]) -> list[TokenisedPair]:
        """One `TokenisedPair` for each pair, in order."""
        readable = [is_unicode(pair.question) and is_unicode(pair.output) for pair in pairs]
        valid = list(compress(pairs, readable))
        laid_out = map(self._lay_out, valid, self._encode(valid))
        return [next(laid_out) if fine else TokenisedPair((), (INVALID_UNICODE,)) for fine in readable]

    def _lay_out(self, pair: Pair, encoded: EncodedPair) -> TokenisedPair:
        notes = [*_edge_notes(pair, encoded), *self._special_token_notes(pair, encoded)]
        fitting, length_notes = self._fit(encoded)
        return TokenisedPair(_sequences(fitting), (*length_notes, *notes))

    def _fit(self, encoded: EncodedPair) -> tuple[EncodedPair, list[str]]:
        limit = self._max_length
        length = max(len(encoded.joint), len(encoded.alone))
        if limit is None or length <= limit:
            return encoded, []
        if self._truncate:
            return _truncated(encoded, limit), [f"truncated: {length} tokens, limit {limit}"]
        # L(Q) reads nothing behind the instruction, so it stays defined when only the answer is too long.
        joint = encoded.joint if len(encoded.joint) <= limit else encoded.joint[: encoded.a_start]
        fitting = replace(
            encoded,
            joint=joint if len(joint) <= limit else [],
            alone=encoded.alone if len(encoded.alone) <= limit else [],
        )
        return fitting, [f"too long: {length} tokens, limit {limit}"]

    def _special_token_notes(self, pair: Pair, encoded: EncodedPair) -> Iterator[str]:
        found = Counter(token for token in encoded.joint if token in self._special_tokens)
        text = f"{pair.question}\n{pair.output}"
        names = sorted({self._special_tokens[token] for token in found - self._encode.frame})
        # An unknown-token id comes from unknown text as well: only what is written out counts.
        written = [name for name in names if name in text]
        if written:
            yield f"special tokens in the text: {' '.join(written)}"


def _sequences(encoded: EncodedPair) -> tuple[TokenSequence, ...]:
    # The first token of a sequence has no prediction, so no span starts before 1.
    joint = (
        Span("q", max(encoded.q_start, 1), min(encoded.q_stop, len(encoded.joint))),
        Span("a_given_q", max(encoded.a_start, 1), len(encoded.joint)),
    )
    alone = (Span("a", max(encoded.a_lead, 1), len(encoded.alone)),)
    laid_out = [
        (ids, tuple(span for span in spans if span.start < span.stop))
        for ids, spans in ((encoded.joint, joint), (encoded.alone, alone))
    ]
    return tuple(TokenSequence(ids, spans) for ids, spans in laid_out if spans)


def _truncated(encoded: EncodedPair, limit: int) -> EncodedPair:
    """Both sequences cut, the answer alone by what the joint one loses: L(A) and L(A|Q) stay alike."""
    dropped = max(len(encoded.joint) - limit, 0)
    left = min(max(len(encoded.alone) - dropped, 0), limit)
    return replace(encoded, joint=encoded.joint[:limit], alone=encoded.alone[:left])


def _edge_notes(pair: Pair, encoded: EncodedPair) -> Iterator[str]:
    if not pair.question:
        yield EMPTY_INSTRUCTION
    elif encoded.q_stop <= max(encoded.q_start, 1):
        yield ONE_TOKEN_INSTRUCTION
    if not pair.output:
        yield EMPTY_RESPONSE
        return
    if len(encoded.joint) <= max(encoded.a_start, 1):
        yield NO_RESPONSE_TOKEN
    if len(encoded.alone) <= max(encoded.a_lead, 1):
        yield ONE_TOKEN_RESPONSE


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold `text`: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
