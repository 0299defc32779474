"""Texts in, unit vectors out: a sentence encoder of Hugging Face's, mean-pooled. It and `forward/` alone import torch.

The pooling is that of sentence-transformers' models of this kind: the mean of the last hidden states over the tokens
that are no padding, scaled to length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from scoring.errors import ModelNotFound
from scoring.neighbours import Vectors
from scoring.pretrained import load_tokenizer, load_whole


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Settings of an `Encoder`.

    model: folder or hub id. device: a torch device, or `auto` for a GPU where there is one. max_length: tokens of a
    text that are read, at most the model's context. batch: texts of one forward pass. threads: CPU threads, None
    leaves them as they are.
    """

    model: str
    device: str = "auto"
    max_length: int = 512
    batch: int = 64
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as vectors [n, d] of length 1, in float32; the tokens read of each, and whether there were more."""

    vectors: Vectors
    tokens: list[int]
    truncated: list[bool]


class Encoder:
    """A loaded encoder. Raises `ModelNotFound` or `ModelLoadError`; missing weights are an error, never random."""

    def __init__(self, config: EncoderConfig) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        self._tokenizer, self._model = _load(config.model, self._device)
        limit = getattr(self._model.config, "max_position_embeddings", config.max_length)
        self._length = min(config.max_length, limit, self._tokenizer.model_max_length)
        self._batch = config.batch

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The vectors of texts, in their order.

        Texts of similar length go together; a vector does not depend on what it is encoded with, but for rounding.
        """
        ids = self._tokenizer(list(texts), truncation=False, verbose=False)["input_ids"] if texts else []
        vectors = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(ids[place]))
        for first in range(0, len(order), self._batch):
            places = order[first : first + self._batch]
            vectors[places] = self._forward([texts[place] for place in places])
        lengths = [len(item) for item in ids]
        return Encoded(
            vectors, [min(length, self._length) for length in lengths], [length > self._length for length in lengths]
        )

    def _forward(self, texts: list[str]) -> Vectors:
        inputs = self._tokenizer(
            texts, truncation=True, max_length=self._length, padding=True, return_tensors="pt", verbose=False
        ).to(self._device)
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            unit: Vectors = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return unit


def _load(model: str, device: str) -> tuple[Any, Any]:
    if Path(model).exists() and not (Path(model) / "config.json").is_file():
        raise ModelNotFound(f"{model}: expected a folder with a config.json")
    # the pooler is a head that mean pooling does not use, and that some models come without
    loaded = load_whole(AutoModel, model, "an encoder", device, may_lack=("pooler.",), dtype="float32")
    return load_tokenizer(model), loaded
