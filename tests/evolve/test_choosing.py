"""Which of several answers is kept, and which it is preferred to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evolve.choosing import Choice, spread

SCORES = (0.5, None, 0.75, 0.25, 0.75, 0.25)
REWARD = Choice("reward")


@pytest.mark.parametrize(
    ("choice", "best", "worse"),
    [
        (REWARD, 2, [3]),
        (replace(REWARD, against="all"), 2, [0, 3, 5]),
        (replace(REWARD, against="all", margin=0.5), 2, [3, 5]),
        (replace(REWARD, margin=0.6), 2, []),
        (Choice("ifd", "lowest"), 3, [2]),
        (Choice("ifd", "lowest", "all"), 3, [0, 2, 4]),
    ],
)
def test_the_first_of_the_best_is_kept_and_only_worse_ones_are_paired(
    choice: Choice, best: int, worse: list[int]
) -> None:
    assert choice.best(SCORES) == best
    assert choice.worse(SCORES, best) == worse


def test_without_scores_nothing_is_best() -> None:
    assert REWARD.best([None, None]) is None
    assert spread([None]) is None
    assert REWARD.worse([0.5, 0.5], 0) == []


def test_the_spread_is_from_the_lowest_to_the_highest() -> None:
    assert spread(SCORES) == 0.5
    assert spread([2.0, None]) == 0
