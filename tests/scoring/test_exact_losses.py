"""The losses are those of the plain rule, whatever the model, the attention and the company of a row."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import FAMILIES, TEXT, three_forwards

from scoring import Pair, Scorer, ScorerConfig

WORDS = TEXT.split()
PAIRS = [
    Pair("Describe how bread is baked.", "", "First, mix flour and water; add salt. Then wait."),
    Pair("Name three rivers:", "big ones", "the Nile, the Rhine and the Ob."),
    Pair("Why?", "", "Because of the rain it is 144 degrees and then some water."),
    Pair("What is 12 * 12?", "", "It is 144."),
    Pair("What is 12 * 12?", "", "It is 144."),
    Pair(" ".join(WORDS[:20]), "", " ".join(WORDS[5:40])),
    Pair("Überraschung 😀", "日本語", "naïve café — ünïcödé"),
]  # fmt: skip


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("attention", ["packed", "padded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_three_forwards(tiny: Callable[..., Path], family: str, attention: str, bos: bool) -> None:
    folder = tiny(family, bos)
    scorer = Scorer(ScorerConfig(str(folder), attention=attention))
    for scores, expected in zip(scorer.score(PAIRS), three_forwards(folder, PAIRS), strict=True):
        assert scores.loss_q == pytest.approx(expected.loss_q, rel=1e-5)
        assert scores.loss_a_given_q == pytest.approx(expected.loss_a_given_q, rel=1e-5)
        assert scores.loss_a == pytest.approx(expected.loss_a, rel=1e-5)


@pytest.mark.parametrize("attention", ["packed", "padded"])
@pytest.mark.parametrize("budget", [1, 40, 100_000])
def test_a_row_scores_the_same_in_any_company(tiny: Callable[..., Path], attention: str, budget: int) -> None:
    many = [
        Pair(" ".join(WORDS[i % 7 : i % 7 + 5]), "", " ".join(WORDS[i % 11 : i % 11 + 3 + i % 13])) for i in range(300)
    ]
    alone = Scorer(ScorerConfig(str(tiny("llama")), attention=attention))
    together = Scorer(ScorerConfig(str(tiny("llama")), attention=attention, token_budget=budget)).score(many)
    for index in range(0, 300, 37):
        (single,) = alone.score([many[index]])
        assert together[index].loss_q == pytest.approx(single.loss_q, rel=2e-6)
        assert together[index].loss_a_given_q == pytest.approx(single.loss_a_given_q, rel=2e-6)
        assert together[index].loss_a == pytest.approx(single.loss_a, rel=2e-6)
