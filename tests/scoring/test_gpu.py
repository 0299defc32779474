"""Losses on a GPU: FlashAttention's kernel in half precision, exact float32, and memory that runs out."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import FAMILIES, three_forwards

from scoring import Pair, Scorer, ScorerConfig, Scores


@pytest.fixture(autouse=True)
def _gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")


PAIRS = [
    Pair("Describe how bread is baked.", "", "First, mix flour and water; add salt."),
    Pair("Name three rivers:", "", "the Nile, the Rhine and the Ob."),
    Pair("What is 12 * 12?", "Be brief.", "It is 144."),
    Pair("Why?", "", "Because of the rain. " * 9),
]
LOSSES = ("loss_q", "loss_a_given_q", "loss_a")


def losses(scores: Scores) -> list[float]:
    return [getattr(scores, name) for name in LOSSES]


@pytest.fixture
def little_memory() -> Iterator[Callable[[int], None]]:
    """little_memory(mib): from now on this process may take that much more of the GPU."""
    import torch

    def limit(mib: int) -> None:
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + mib * 2**20) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_takes_the_variable_length_kernel_and_stays_near_float32(
    tiny: Callable[..., Path], family: str
) -> None:
    from scoring.forward.loss import LossModel

    config = ScorerConfig(str(tiny(family)), device="cuda", dtype="bfloat16")
    # the kernel has no soft-cap on attention logits
    assert LossModel(config).attention == ("packed" if family == "gemma2" else "flash")
    for scores, expected in zip(Scorer(config).score(PAIRS), three_forwards(tiny(family), PAIRS), strict=True):
        for name in LOSSES:
            assert getattr(scores, name) == pytest.approx(getattr(expected, name), rel=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_is_exact(tiny: Callable[..., Path], family: str) -> None:
    scorer = Scorer(ScorerConfig(str(tiny(family)), device="cuda", dtype="float32"))
    for scores, expected in zip(scorer.score(PAIRS), three_forwards(tiny(family), PAIRS), strict=True):
        for name in LOSSES:
            assert getattr(scores, name) == pytest.approx(getattr(expected, name), rel=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_scores_the_same_alone_and_among_many(tiny: Callable[..., Path], dtype: str) -> None:
    scorer = Scorer(ScorerConfig(str(tiny("llama")), device="cuda", dtype=dtype))  # type: ignore[arg-type]
    tolerance = {"float32": 1e-5, "bfloat16": 5e-3}[dtype]
    among = scorer.score(PAIRS * 50)
    for number, pair in enumerate(PAIRS):
        (alone,) = scorer.score([pair])
        assert losses(among[number]) == pytest.approx(losses(alone), rel=tolerance)
        assert losses(among[number + 100]) == pytest.approx(losses(alone), rel=tolerance)


def test_flash_on_request_equals_packed(tiny: Callable[..., Path]) -> None:
    config = ScorerConfig(str(tiny("mistral")), device="cuda", dtype="float16")
    flash, packed = (Scorer(replace(config, attention=attention)).score(PAIRS) for attention in ("flash", "packed"))
    for item, other in zip(flash, packed, strict=True):
        assert losses(item) == pytest.approx(losses(other), rel=2e-3)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_compiled_layers_score_the_same(
    tiny: Callable[..., Path], family: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scoring")
    config = ScorerConfig(str(tiny(family)), device="cuda", dtype="bfloat16", compiled=True)
    found = Scorer(config).score(PAIRS * 50)
    assert "2 layers are compiled" in caplog.text
    for item, other in zip(found, Scorer(replace(config, compiled=False)).score(PAIRS * 50), strict=True):
        assert losses(item) == pytest.approx(losses(other), rel=1e-2)


def test_the_budget_is_halved_until_everything_fits(
    tiny: Callable[..., Path], little_memory: Callable[[int], None]
) -> None:
    pairs = [Pair("Why?", "", "water " * length) for length in [5, 20, 40] * 300]
    scorer = Scorer(ScorerConfig(str(tiny("llama")), device="cuda", token_budget=1_000_000))
    free = scorer.score(pairs)
    assert scorer.token_budget == 1_000_000
    little_memory(24)
    tight = scorer.score(pairs)
    assert scorer.token_budget < 30_000
    for found, expected in zip(tight, free, strict=True):
        assert losses(found) == pytest.approx(losses(expected), rel=5e-3)
        assert found.note is None
