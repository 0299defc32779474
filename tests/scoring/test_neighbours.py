"""Nearest neighbours against the definition, and vectors of a small encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import neighbours as module
from scoring.errors import ModelLoadError, ModelNotFound
from scoring.neighbours import Neighbours, Vectors, neighbours
from tests.scoring.tiny_encoder import save_encoder


def unit(vectors: np.ndarray) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def whole(vectors: Vectors, radius: float) -> Neighbours:
    blocks = list(neighbours(vectors, radius))
    return Neighbours(
        *(np.concatenate([getattr(block, name) for block in blocks]) for name in Neighbours.__dataclass_fields__)
    )


@given(rows=st.integers(2, 40), seed=st.integers(0, 1000), copies=st.integers(0, 5))
def test_distances_and_repeats_are_those_of_the_definition(rows: int, seed: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(rows, 3)))
    vectors[-copies or rows :] = vectors[0]
    found = whole(vectors, 0.05)
    squared = ((vectors[:, None].astype(float) - vectors[None]) ** 2).sum(2)
    np.fill_diagonal(squared, np.inf)
    np.testing.assert_allclose(found.distance, squared.min(1), atol=2e-6)
    np.testing.assert_allclose(squared[np.arange(rows), found.nearest], squared.min(1), atol=2e-6)
    clear = np.abs(squared - 0.05).min(1) > 1e-5
    assert (found.repeats == (squared <= 0.05).sum(1))[clear].all()


def test_blocks_of_both_sides_join() -> None:
    rows = module.QUERY_ROWS + module.CORPUS_ROWS + 17
    vectors = unit(np.random.default_rng(3).normal(size=(rows, 4)))
    vectors[rows - 1] = vectors[5]
    last = next(neighbours(vectors, 0.05, start=rows - 17))
    assert len(last.nearest) == 17
    assert last.nearest[16] == 5
    assert last.distance[16] == pytest.approx(0, abs=1e-6)
    first = next(neighbours(vectors, 0.05))
    assert first.nearest[5] == rows - 1


def test_a_row_alone_has_no_neighbour() -> None:
    found = whole(unit(np.ones((1, 3))), 0.05)
    assert np.isnan(found.distance[0])
    assert (found.nearest[0], found.repeats[0]) == (-1, 0)


@pytest.fixture(scope="module")
def encoder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def test_vectors_are_means_over_the_tokens_alone(encoder_dir: Path) -> None:
    import torch
    from transformers import BertModel, PreTrainedTokenizerFast

    from scoring.encoder import Encoder, EncoderConfig

    texts = ["name a river", "sort these words by length and explain why", "river"]
    encoded = Encoder(EncoderConfig(str(encoder_dir), batch=2)).encode(texts)
    model = BertModel.from_pretrained(encoder_dir).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(encoder_dir)
    for text, vector, tokens in zip(texts, encoded.vectors, encoded.tokens, strict=True):
        ids = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**ids).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)
        assert tokens == len(text.split())
    assert encoded.truncated == [False, False, False]


def test_long_texts_are_cut_and_said_to_be(encoder_dir: Path) -> None:
    from scoring.encoder import Encoder, EncoderConfig

    encoder = Encoder(EncoderConfig(str(encoder_dir)))
    encoded = encoder.encode([" ".join(["river"] * 40), " ".join(["river"] * 16), ""])
    assert encoded.truncated == [True, False, False]
    assert encoded.tokens == [16, 16, 0]
    np.testing.assert_allclose(encoded.vectors[0], encoded.vectors[1], atol=1e-5)
    assert np.isfinite(encoded.vectors).all()
    assert encoder.encode([]).vectors.shape == (0, 24)


def test_models_that_cannot_be_used_are_told(tmp_path: Path, encoder_dir: Path) -> None:
    from scoring.encoder import Encoder, EncoderConfig

    with pytest.raises(ModelNotFound, match=r"expected a folder with a config\.json"):
        Encoder(EncoderConfig(str(tmp_path)))
    save_encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelLoadError, match="does not load as an encoder"):
        Encoder(EncoderConfig(str(tmp_path)))
