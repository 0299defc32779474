"""Tokenising goes on while the model runs, and threads that share a scorer do not disturb each other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from tiny_models import TEXT

from scoring import Pair, Scorer, ScorerConfig
from scoring.ahead import one_ahead

WORDS = TEXT.split()


def test_the_next_result_is_made_while_one_is_used() -> None:
    begun = [Event() for _ in range(4)]

    def work(place: int) -> int:
        begun[place].set()
        return place * place

    results = one_ahead(work, range(4))
    assert next(results) == 0
    assert begun[1].wait(10)
    assert not begun[2].is_set()
    assert list(results) == [1, 4, 9]
    assert list(one_ahead(work, [])) == []


def test_an_error_comes_out_where_its_result_would() -> None:
    results = one_ahead(lambda divisor: 12 // divisor, [3, 0, 1])
    assert next(results) == 4
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_threads_may_share_a_scorer(tiny: Callable[..., Path]) -> None:
    scorer = Scorer(ScorerConfig(str(tiny("llama")), token_budget=50))
    groups = [
        [Pair(" ".join(WORDS[i : i + 4]), "", " ".join(WORDS[i : i + 2 + j])) for i in range(20)] for j in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(scorer.score, groups))
    for found, group in zip(together, groups, strict=True):
        for scores, alone in zip(found, scorer.score(group), strict=True):
            assert (scores.n_q, scores.n_a, scores.note) == (alone.n_q, alone.n_a, alone.note)
            assert scores.loss_q == pytest.approx(alone.loss_q, rel=1e-5)
            assert scores.loss_a == pytest.approx(alone.loss_a, rel=1e-5)
