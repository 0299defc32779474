"""Which of several answers to one task is kept, and which are known to be worse. Plain arithmetic on scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ChoiceRule = Literal["reward", "ic_ifd", "ifd", "length", "agreement"]
FIRST = "first"
"""What chose where no answer has a score: their order."""
Scores = Sequence[float | None]


@dataclass(frozen=True)
class Choice:
    """The end of the scores `by` which an answer is kept, and what it is preferred to.

    That is the worst of the others alone or `all` of them, as far as they are worse by more than 0 and by `margin` at
    least.
    """

    by: ChoiceRule
    prefer: Literal["highest", "lowest"] = "highest"
    against: Literal["worst", "all"] = "worst"
    margin: float = 0.0

    def best(self, scores: Scores) -> int | None:
        """The place of the best score, of equal ones the first; None where there is no score."""
        known = [place for place, score in enumerate(scores) if score is not None]
        return max(known, key=lambda place: self._worth(scores, place), default=None)

    def worse(self, scores: Scores, best: int) -> list[int]:
        """The places of the answers that the best one is preferred to, in order; of equally bad ones the first."""
        top = self._worth(scores, best)
        behind = {place: top - self._worth(scores, place) for place, score in enumerate(scores) if score is not None}
        found = [place for place, distance in behind.items() if distance > 0 and distance >= self.margin]
        return found if self.against == "all" or not found else [max(found, key=behind.__getitem__)]

    def _worth(self, scores: Scores, place: int) -> float:
        score = scores[place]
        assert score is not None, "answers without a score are passed over"
        return score if self.prefer == "highest" else -score


def spread(scores: Scores) -> float | None:
    """From the lowest to the highest score; None where there is none."""
    known = [score for score in scores if score is not None]
    return max(known) - min(known) if known else None
