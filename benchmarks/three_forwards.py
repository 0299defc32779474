"""The rule as published programs run it: three forward passes a row, one text at a time, full logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scoring import Pair


class ThreeForwards:
    """Scores row by row; what `scoring.Scorer` is compared with."""

    def __init__(self, model: Path, dtype: torch.dtype, device: str) -> None:
        loader: Any = AutoModelForCausalLM
        self.model = loader.from_pretrained(model, dtype=dtype).to(device).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model)

    @torch.inference_mode()
    def score(self, pairs: list[Pair]) -> list[tuple[float, float, float]]:
        """L(Q), L(A|Q), L(A) of each pair; NaN where undefined."""
        return [self._losses(pair) for pair in pairs]

    def _losses(self, pair: Pair) -> tuple[float, float, float]:
        border = len(self.tokenizer(pair.question)["input_ids"])
        joint = f"{pair.question}\n{pair.output}"
        return self._loss(joint, last=border), self._loss(joint, first=border), self._loss(pair.output)

    def _loss(self, text: str, first: int = 0, last: int | None = None) -> float:
        ids = self.tokenizer(text, return_tensors="pt")["input_ids"].to(self.model.device)
        labels = torch.full_like(ids, -100)
        labels[:, first:last] = ids[:, first:last]
        return self.loss(ids, labels)

    @torch.inference_mode()
    def loss(self, ids: torch.Tensor, labels: torch.Tensor) -> float:
        """The mean cross-entropy in nats of the labels that are not -100; both [1, tokens]."""
        return float(self.model(input_ids=ids, labels=labels).loss)
