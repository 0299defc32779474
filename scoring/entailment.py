"""Natural-language inference with any sequence-classification model: which of its labels a pair of texts gets."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import AutoModelForSequenceClassification
from transformers.utils.import_utils import is_torch_cuda_available

from scoring.pretrained import load_tokenizer, load_whole


class Entailment:
    """A classifier on one device. `labels` are those of the model's own configuration, in the order of its outputs.

    Raises ModelLoadError where the model does not load with all its weights: a head that is missing would be random.
    """

    def __init__(self, model: str, device: str = "auto", batch_size: int = 32) -> None:
        place = ("cuda" if is_torch_cuda_available() else "cpu") if device == "auto" else device
        kind = "a sequence-classification model"
        self._model = load_whole(AutoModelForSequenceClassification, model, kind, place).requires_grad_(False)
        self._tokenizer = load_tokenizer(model)
        names = self._model.config.id2label
        self.labels: tuple[str, ...] = tuple(names[place] for place in range(len(names)))
        self._batch_size = batch_size

    def label(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """The likeliest label of each (premise, hypothesis), in order. Text beyond the model's context is cut."""
        found: list[str] = []
        for start in range(0, len(pairs), self._batch_size):
            premises, hypotheses = zip(*pairs[start : start + self._batch_size], strict=True)
            encoded = self._tokenizer(
                list(premises), list(hypotheses), truncation=True, padding=True, return_tensors="pt"
            )
            logits = self._model(**encoded.to(self._model.device)).logits
            found += [self.labels[place] for place in logits.argmax(-1).tolist()]
        return found
