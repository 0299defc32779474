"""Compiling a model's layers: the same losses for any number of tokens, and no harm where it fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scoring import ScorerConfig
from scoring.spans import Span, TokenSequence

if TYPE_CHECKING:
    from scoring.forward.passes import ForwardPass

SEQUENCES = [
    TokenSequence([(7 * place + length) % 300 for place in range(length)], (Span("a", 1, length),))
    for length in (5, 12, 30, 31)
]


def losses_of(forward: ForwardPass) -> Callable[[int], list[float]]:
    import torch

    @torch.inference_mode()
    def losses(sequences: int) -> list[float]:
        result: list[float] = forward.nll(SEQUENCES[:sequences]).tolist()
        return result

    return losses


@pytest.fixture
def forward(tiny: Callable[..., Path], request: pytest.FixtureRequest) -> ForwardPass:
    from scoring.forward.passes import ForwardPass

    family = getattr(request, "param", "llama")
    return ForwardPass(ScorerConfig(str(tiny(family)), device="cpu", attention="padded"))


@pytest.mark.parametrize("forward", ["llama", "gemma3", "gpt2"], indirect=True)
def test_layers_and_head_are_compiled_once_for_any_number_of_tokens(
    forward: ForwardPass, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Traced in full; the code is run as traced, since an optimising compiler may be absent."""
    import torch

    from scoring.forward.compiled import compile_pass

    torch.compiler.reset()
    caplog.set_level("INFO", "scoring")
    losses = losses_of(forward)
    expected = [losses(count) for count in (4, 3, 2)]
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    with torch.inference_mode():
        compile_pass(forward.model, forward.head, lambda: forward.nll(SEQUENCES).numpy())
    assert "2 layers are compiled" in caplog.text
    for count, values in zip((4, 3, 2), expected, strict=True):
        assert losses(count) == pytest.approx(values, rel=1e-5)


def broken(_function: object, **_settings: object) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise OSError("no compiler")

    return call


def wrong(function: Callable[..., Any], **_settings: object) -> Callable[..., Any]:
    return lambda *args, **settings: function(*(2 * arg for arg in args), **settings)


@pytest.mark.parametrize(
    ("compiler", "reason"), [(broken, "OSError: no compiler"), (wrong, "its losses change")], ids=["broken", "wrong"]
)
def test_what_fails_or_changes_the_losses_is_undone(
    forward: ForwardPass, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    compiler: Callable[..., Any], reason: str,
) -> None:  # fmt: skip
    import torch

    from scoring.forward.compiled import compile_pass

    losses = losses_of(forward)
    expected = losses(4)
    monkeypatch.setattr(torch, "compile", compiler)
    with torch.inference_mode():
        compile_pass(forward.model, forward.head, lambda: forward.nll(SEQUENCES).numpy())
    assert f"not compiled, scoring is slower: {reason}" in caplog.text
    assert losses(4) == expected
