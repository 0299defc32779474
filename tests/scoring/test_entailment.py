"""NLI by a classifier: labels from the model's configuration, batches that change nothing, no random head."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoring.errors import ModelLoadError
from tests.scoring.tiny_models import build_tokenizer, save_classifier, save_model

LABELS = ("ENTAILMENT", "neutral", "Contradiction")
PAIRS = [
    ("Bake bread.", "Mix flour and water; bake it."),
    ("Name three rivers.", "Name no river."),
    ("What is 12 * 12?", "It is 144. " * 200),
    ("", "Why?"),
    ("Then wait.", "Then wait."),
]

pytestmark = pytest.mark.slow  # each loads a tiny model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier"), LABELS)


def test_labels_are_the_models_own_and_the_likeliest_wins(folder: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification

    from scoring.entailment import Entailment

    model = Entailment(str(folder), "cpu")
    assert model.labels == LABELS
    reference = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = build_tokenizer(bos=False)
    expected = []
    for premise, hypothesis in PAIRS:
        encoded = tokenizer(premise, hypothesis, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            expected.append(LABELS[int(reference(**encoded).logits.argmax())])
    assert model.label(PAIRS) == expected
    assert len(set(expected)) > 1
    assert model.label([]) == []


def test_batches_change_no_label(folder: Path) -> None:
    from scoring.entailment import Entailment

    assert Entailment(str(folder), "cpu", batch_size=2).label(PAIRS) == Entailment(str(folder), "cpu").label(PAIRS)


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    from scoring.entailment import Entailment

    save_model(tmp_path, "qwen2", bos=False)
    with pytest.raises(ModelLoadError, match=r"weights are missing, such as score\.weight"):
        Entailment(str(tmp_path), "cpu")
    with pytest.raises(ModelLoadError, match="does not load as a sequence-classification model"):
        Entailment(str(tmp_path / "absent"), "cpu")
