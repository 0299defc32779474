"""The front door: pairs in, scores out, in order.

Pairs are taken in windows; while the model runs one, a thread tokenises the next.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import compress
from threading import Lock

from scoring.ahead import one_ahead
from scoring.config import ScorerConfig
from scoring.records import Pair, Scores
from scoring.spans import LossName, PairTokeniser, TokenisedPair, is_unicode

OUT_OF_MEMORY = "out of memory"
ZERO_LOSS = "zero loss: a ratio is undefined"
NOT_FINITE = "the model gave a loss that is no finite number"

# Rows tokenised and sorted together: enough that length-sorted batches hold hardly any padding.
WINDOW = 1024


class Scorer:
    """Scores pairs with one causal language model; raises `ScoringError` if model or settings do not fit.

    Threads may share it: they take turns with the model, and what one needs to have tokenised is, meanwhile.
    """

    def __init__(self, config: ScorerConfig) -> None:
        # Imported here so that reading records or formulas never costs the import of torch.
        from scoring.forward.loss import LossModel
        from scoring.tokenizer import ModelTokenizer

        self._model = LossModel(config)
        limit = config.max_length or self._model.context
        self._turn = Lock()
        self._tokenizer = ModelTokenizer(config.model)
        self._tokenise = PairTokeniser(self._tokenizer, config.mode, limit, config.truncate)

    @property
    def token_budget(self) -> int:
        """Tokens of one forward pass, as configured or chosen, less what running out of memory has taken off."""
        return self._model.token_budget

    def score(self, pairs: Sequence[Pair]) -> list[Scores]:
        """The scores of each pair, in the order given, whatever else is scored with it.

        Never raises for a pair's content: what cannot be scored has None for a loss and says why in its note.
        Pass hundreds of pairs or more at once; that fills the forward passes.
        """
        windows = (pairs[start : start + WINDOW] for start in range(0, len(pairs), WINDOW))
        return [scores for window in one_ahead(self._tokenise, windows) for scores in self._score(window)]

    def instruction_lengths(self, pairs: Sequence[Pair]) -> list[int | None]:
        """Tokens of each pair's instruction alone, without input and special tokens; None for invalid Unicode."""
        readable = [is_unicode(pair.instruction) for pair in pairs]
        texts = [pair.instruction for pair in compress(pairs, readable)]
        lengths = map(len, self._tokenizer.encode(texts, special=False))
        return [next(lengths) if fine else None for fine in readable]

    def _score(self, window: Sequence[TokenisedPair]) -> Iterator[Scores]:
        sequences = [sequence for pair in window for sequence in pair.sequences]
        with self._turn:
            means = iter(self._model.mean_losses(sequences))
        for pair in window:
            losses: dict[LossName, float] = {}
            notes = list(pair.notes)
            for sequence in pair.sequences:
                values = next(means)
                if values is None:
                    notes.append(OUT_OF_MEMORY)
                else:
                    losses |= {span.loss: value for span, value in zip(sequence.spans, values, strict=True)}
            yield _scores(pair, losses, notes)


def _scores(pair: TokenisedPair, losses: dict[LossName, float], notes: list[str]) -> Scores:
    finite = {name: value for name, value in losses.items() if math.isfinite(value)}
    if len(finite) < len(losses):
        notes.append(NOT_FINITE)
    if finite.get("q") == 0 or finite.get("a") == 0:
        notes.append(ZERO_LOSS)
    return Scores(
        loss_q=finite.get("q"),
        loss_a_given_q=finite.get("a_given_q"),
        loss_a=finite.get("a"),
        n_q=pair.count("q"),
        n_a=pair.count("a_given_q"),
        note="; ".join(dict.fromkeys(notes)) or None,
    )
