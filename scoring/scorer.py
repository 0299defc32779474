"""The front door: pairs in, scores out, in order.

Pairs are taken in windows; while the model runs one, a thread tokenises the next.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from scoring.config import ScorerConfig
from scoring.records import Pair, Scores
from scoring.spans import LossName, PairTokeniser, TokenisedPair

OUT_OF_MEMORY = "out of memory"
ZERO_LOSS = "zero loss: a ratio is undefined"
NOT_FINITE = "the model gave a loss that is no finite number"

# Rows tokenised and sorted together: enough that length-sorted batches hold hardly any padding.
WINDOW = 1024


class Scorer:
    """Scores pairs with one causal language model; raises `ScoringError` if model or settings do not fit.

    Not for two threads at once.
    """

    def __init__(self, config: ScorerConfig) -> None:
        # Imported here so that reading records or formulas never costs the import of torch.
        from scoring.loss import LossModel
        from scoring.tokenizer import ModelTokenizer

        self._model = LossModel(config)
        limit = config.max_length or self._model.context
        self._tokenise = PairTokeniser(ModelTokenizer(config.model), config.mode, limit, config.truncate)

    @property
    def token_budget(self) -> int:
        """Tokens of one forward pass, as configured or chosen, less what running out of memory has taken off."""
        return self._model.token_budget

    def score(self, pairs: Sequence[Pair]) -> list[Scores]:
        """The scores of each pair, in the order given, whatever else is scored with it.

        Never raises for a pair's content: what cannot be scored has None for a loss and says why in its note.
        Pass hundreds of pairs or more at once; that fills the forward passes.
        """
        return [scores for window in self._tokenised(pairs) for scores in self._score(window)]

    def _tokenised(self, pairs: Sequence[Pair]) -> Iterator[list[TokenisedPair]]:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenise") as thread:
            upcoming = thread.submit(self._tokenise, pairs[:WINDOW])
            for following in range(WINDOW, len(pairs) + WINDOW, WINDOW):
                current = upcoming.result()
                upcoming = thread.submit(self._tokenise, pairs[following : following + WINDOW])
                yield current

    def _score(self, window: Sequence[TokenisedPair]) -> Iterator[Scores]:
        sequences = [sequence for pair in window for sequence in pair.sequences]
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
