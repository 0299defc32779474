"""The model's own tokenizer behind the few calls that scoring makes."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoTokenizer

from scoring.errors import ModelLoadError, ModelUnsupported


class ModelTokenizer:
    """A Hugging Face tokenizer as a `scoring.encoding.TextTokenizer`. Not for two threads at once."""

    def __init__(self, model: str) -> None:
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelLoadError(f"{model}: its tokenizer does not load: {error}") from error
        self.bos_id: int | None = self._tokenizer.bos_token_id
        added = self._tokenizer.added_tokens_decoder.items()
        named = dict(zip(self._tokenizer.all_special_ids, self._tokenizer.all_special_tokens, strict=True))
        self.special_tokens: dict[int, str] = named | {
            token: str(content) for token, content in added if content.special
        }

    def encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        """Token ids of each text; truncation and padding stored with the tokenizer are switched off."""
        if not texts:
            return []
        encoded = self._tokenizer(
            list(texts),
            add_special_tokens=special,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def chat(self, content: str, *, generation_prompt: bool) -> str:
        """The text of a chat whose one turn is the user's `content`."""
        if not self._tokenizer.chat_template:
            raise ModelUnsupported("mode 'chat': the model has no chat template; use mode 'plain'")
        turn = [{"role": "user", "content": content}]
        return str(self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=generation_prompt))
