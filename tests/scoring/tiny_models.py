"""Tiny models of several families with tokenizers of their own, and the rule written plainly to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoring import Pair

# torch and transformers are loaded where they are used: collecting tests takes as long as all that their files import
if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

TEXT = """Describe how bread is baked. First, mix flour and water; add salt.
Then wait, and bake it at 220 degrees. What is 12 * 12? It is 144.
Name three rivers: the Nile, the Rhine and the Ob. "Why?" she asked. Because of the rain."""

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
GROUPED = SHAPE | {"num_key_value_heads": 2}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {**GROUPED, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2Config", GROUPED),
    "gpt_neox": ("GPTNeoXConfig", SHAPE),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 12}),
    "gemma2": (
        "Gemma2Config",
        {
            **GROUPED, "head_dim": 8, "sliding_window": 12, "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": 0.5, "final_logit_softcapping": 3.0,
        },
    ),
    "gemma3": ("Gemma3TextConfig", {**GROUPED, "head_dim": 8, "sliding_window": 12, "query_pre_attn_scalar": 8}),
    "cohere": ("CohereConfig", {**GROUPED, "logit_scale": 0.3}),
}  # fmt: skip
"""Family -> the name of its configuration in transformers, and what that gets."""


def build_tokenizer(bos: bool, chat_template: str | None = None) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=chat_template
    )


def save_model(
    folder: Path,
    family: str,
    bos: bool,
    chat_template: str | None = None,
) -> Path:
    """A random model of a family, with its tokenizer. Weights are drawn wide, so that losses differ by text."""
    import torch
    import transformers

    tokenizer = build_tokenizer(bos, chat_template)
    torch.manual_seed(7)
    name, settings = FAMILIES[family]
    config = getattr(transformers, name)(**settings, vocab_size=len(tokenizer), initializer_range=0.25)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_reward_model(folder: Path, config: PretrainedConfig, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A random sequence classification model with its tokenizer; weights drawn wide, as above."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(3)
    settings = config.to_dict() | {"vocab_size": len(tokenizer), "initializer_range": 0.25}
    AutoModelForSequenceClassification.from_config(type(config).from_dict(settings)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_classifier(folder: Path, labels: Sequence[str]) -> Path:
    """A random sequence-classification model of pairs, with these labels. Weights are drawn wide, as above."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = build_tokenizer(bos=False)
    tokenizer.pad_token, tokenizer.model_max_length = "</s>", 64
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, initializer_range=0.5, id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Reference:
    loss_q: float
    loss_a_given_q: float
    loss_a: float


def three_forwards(folder: Path, pairs: list[Pair]) -> list[Reference]:
    """The rule, one text a forward pass: labels masked with -100, the model's eager attention, no packing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    def loss(text: str, ignored: range = range(0)) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        labels = ids.clone()
        labels[0, ignored.start : ignored.stop] = -100
        with torch.no_grad():
            logits = model(ids).logits[0, :-1].double()
        return torch.nn.functional.cross_entropy(logits, labels[0, 1:]).item()

    result = []
    for pair in pairs:
        question = f"{pair.instruction}\n{pair.input}" if pair.input else pair.instruction
        joint = f"{question}\n{pair.output}"
        border = len(tokenizer(question)["input_ids"])
        result.append(Reference(loss(joint, range(border, 10**6)), loss(joint, range(border)), loss(pair.output)))
    return result
