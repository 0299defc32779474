"""The real SmolLM2-135M on real rows, against reference values computed row by row."""

import json
import math
from pathlib import Path

import pytest

from scoring import Pair, Scorer, ScorerConfig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def scorer(smollm2_dir: Path) -> Scorer:
    return Scorer(ScorerConfig(str(smollm2_dir), dtype="float32", threads=2))


@pytest.mark.parametrize("name", ["alpaca_en_demo", "gsm8k"])
def test_equals_the_reference(scorer: Scorer, shared: Path, name: str) -> None:
    lines = (shared / f"reference/smollm2_{name}_64.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    found = scorer.score([Pair(row["instruction"], row["input"], row["output"]) for row in rows])
    for row, scores in zip(rows, found, strict=True):
        assert scores.n_q == row["n_q"] - 1
        assert scores.n_a == row["n_joint"] - row["n_q"]
        for key, value in {
            "loss_q": scores.loss_q,
            "loss_a_q": scores.loss_a_given_q,
            "loss_a": scores.loss_a,
            "ifd": scores.ifd,
            "ic_ifd": scores.ic_ifd,
        }.items():
            if math.isnan(row[key]):
                assert value is None
                assert scores.note
            else:
                assert value == pytest.approx(row[key], rel=1e-4)


def test_alone_as_in_company(scorer: Scorer, alpaca: list[Pair]) -> None:
    company = scorer.score(alpaca[:24])
    for index in (0, 7, 23):
        (alone,) = scorer.score([alpaca[index]])
        assert company[index].loss_q == pytest.approx(alone.loss_q, rel=1e-5)
        assert company[index].ifd == pytest.approx(alone.ifd, rel=1e-5)


def test_chat_mode_gives_scores(smollm2_dir: Path, alpaca: list[Pair]) -> None:
    chat = Scorer(ScorerConfig(str(smollm2_dir), mode="chat", threads=2))
    for scores in chat.score(alpaca[1:5]):
        assert scores.ic_ifd is not None
        assert scores.note is None
