"""Pairs in, rewards out: the single logit of a sequence classification model, such as a reward model has."""

import math
from collections.abc import Iterator, Sequence
from threading import Lock

from scoring.config import RewardConfig
from scoring.records import Pair, Reward
from scoring.spans import INVALID_UNICODE, is_unicode

EMPTY_RESPONSE = "empty response: reward is undefined"
OUT_OF_MEMORY = "reward: out of memory"
NOT_FINITE = "reward: the model gave no finite number"

# Pairs tokenised and sorted together: enough that length-sorted batches hold hardly any padding.
_WINDOW = 1024


class RewardScorer:
    """Scores pairs with one reward model; raises `ScoringError` if the model does not serve.

    Threads may share it: they take turns.
    """

    def __init__(self, config: RewardConfig) -> None:
        # Imported here so that reading records or settings never costs the import of torch.
        from scoring.forward.reward import RewardModel
        from scoring.tokenizer import RewardTokenizer

        self._turn = Lock()
        self._model = RewardModel(config)
        self._tokenise = RewardTokenizer(config.model, config.trust_remote_code)
        self._limit = min(self._model.context or self._tokenise.limit, self._tokenise.limit)

    def score(self, pairs: Sequence[Pair]) -> list[Reward]:
        """The reward of each pair, in the order given, whatever else is scored with it.

        Never raises for a pair's content: what cannot be scored has the value None and says why in its note.
        """
        starts = range(0, len(pairs), _WINDOW)
        with self._turn:
            return [reward for start in starts for reward in self._score(pairs[start : start + _WINDOW])]

    def _score(self, pairs: Sequence[Pair]) -> Iterator[Reward]:
        notes = [_obstacle(pair) for pair in pairs]
        readable = iter(self._tokenise([pair for pair, note in zip(pairs, notes, strict=True) if note is None]))
        encoded = [None if note else next(readable) for note in notes]
        for index, inputs in enumerate(encoded):
            if inputs and len(inputs["input_ids"]) > self._limit:
                notes[index] = f"reward: too long: {len(inputs['input_ids'])} tokens, limit {self._limit}"
        fitting = [item for item, note in zip(encoded, notes, strict=True) if item and note is None]
        values = iter(self._model.logits(fitting))
        for note in notes:
            yield Reward(None, note) if note else _reward(next(values))


def _obstacle(pair: Pair) -> str | None:
    if not (is_unicode(pair.question) and is_unicode(pair.output)):
        return INVALID_UNICODE
    return None if pair.output else EMPTY_RESPONSE


def _reward(value: float | None) -> Reward:
    if value is None:
        return Reward(None, OUT_OF_MEMORY)
    return Reward(value) if math.isfinite(value) else Reward(None, NOT_FINITE)
