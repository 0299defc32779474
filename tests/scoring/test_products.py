"""Products by bfloat16 matrix units: float32 losses, where weights allow it, undone where losses change."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import FAMILIES, three_forwards
from torch import Tensor

from scoring import Pair, Scorer, ScorerConfig
from scoring.forward import products

needs_units = pytest.mark.skipif(not products.available(), reason="this CPU has no bfloat16 matrix units (AMX)")
PAIRS = [Pair("Name three rivers.", "", "The Nile."), Pair("Why?", "water", "Because of the rain. " * 5)]


@needs_units
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 576, 192), (300, 130, 257)])
def test_a_product_of_pairs_is_one_of_float32(shape: tuple[int, int, int]) -> None:
    n, width, m = shape
    torch.manual_seed(1)
    activations, weight = torch.randn(width, n).T, torch.randn(m, width).bfloat16()
    exact = activations.double() @ weight.double().T
    sizes = activations.double().abs() @ weight.double().abs().T
    found = products.multiplier(activations)(weight)
    assert found.dtype == torch.float32
    # 2^-17 of each summand from taking activations apart, the rest from adding up in float32
    assert ((found - exact).abs() <= 2**-16 * sizes).all()


@needs_units
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_the_rule(tiny: Callable[..., Path], family: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scoring")
    folder = tiny(family, dtype=torch.bfloat16)
    found = Scorer(ScorerConfig(str(folder), device="cpu", dtype="float32")).score(PAIRS)
    assert "multiply in bfloat16 pairs" in caplog.text
    for scores, expected in zip(found, three_forwards(folder, PAIRS), strict=True):
        assert scores.loss_q == pytest.approx(expected.loss_q, rel=2e-5)
        assert scores.loss_a_given_q == pytest.approx(expected.loss_a_given_q, rel=2e-5)
        assert scores.loss_a == pytest.approx(expected.loss_a, rel=2e-5)


@pytest.mark.parametrize(
    ("stored", "settings"),
    [(torch.float32, {}), (torch.bfloat16, {"bfloat16_pairs": False}), (torch.bfloat16, {"dtype": "bfloat16"})],
    ids=["float32_weights", "switched_off", "half_precision"],
)
def test_not_for_other_weights_dtypes_or_wishes(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, stored: torch.dtype, settings: dict[str, object]
) -> None:
    used: list[Tensor] = []

    def noted(activations: Tensor) -> Callable[[Tensor], Tensor]:
        used.append(activations)
        return wrong(activations)

    monkeypatch.setattr(products, "available", lambda: True)
    monkeypatch.setattr(products, "multiplier", noted)
    settings = {"device": "cpu", "dtype": "float32"} | settings
    Scorer(ScorerConfig(str(tiny("llama", dtype=stored)), **settings))  # type: ignore[arg-type]
    assert not used


def wrong(activations: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda weight: 2 * activations @ weight.float().T


def rough(activations: Tensor) -> Callable[[Tensor], Tensor]:
    """One bfloat16 number an activation."""
    return lambda weight: activations.bfloat16().float() @ weight.float().T


def broken(_activations: Tensor) -> Callable[[Tensor], Tensor]:
    raise RuntimeError("expected other weights")


@pytest.mark.parametrize(
    ("multiplier", "reason"),
    [(wrong, "its losses change"), (rough, "its losses change"), (broken, "RuntimeError: expected other weights")],
)
def test_what_fails_or_changes_the_losses_is_undone(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    multiplier: Callable[[Tensor], Callable[[Tensor], Tensor]], reason: str,
) -> None:  # fmt: skip
    config = ScorerConfig(str(tiny("qwen2", dtype=torch.bfloat16)), device="cpu", dtype="float32", bfloat16_pairs=False)
    expected = Scorer(config).score(PAIRS)
    monkeypatch.setattr(products, "available", lambda: True)
    monkeypatch.setattr(products, "multiplier", multiplier)
    config = ScorerConfig(config.model, device="cpu", dtype="float32")
    assert Scorer(config).score(PAIRS) == expected
    assert f"no products in bfloat16 pairs, scoring is slower: {reason}" in caplog.text
