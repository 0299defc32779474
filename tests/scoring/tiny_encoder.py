"""A tiny sentence encoder with a tokenizer of its own."""

from __future__ import annotations

from pathlib import Path

WORDS = """name a river that flows to the sea sort these words by length and explain why
step process people 0 1 2 3 4 5 6 7 8 9""".split()


def save_encoder(folder: Path) -> Path:
    """A random BERT of two layers, which reads 16 tokens."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(5)
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    settings = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, initializer_range=0.5, **shape)
    BertModel(settings).save_pretrained(folder)
    return folder
