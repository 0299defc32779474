"""The model's own tokenizer behind the few calls that scoring makes."""

from collections.abc import Sequence
from threading import Lock

from scoring.errors import ModelUnsupported
from scoring.pretrained import load_tokenizer
from scoring.records import Pair

_AS_IS = {"truncation": False, "padding": False, "verbose": False}


class ModelTokenizer:
    """A Hugging Face tokenizer as a `scoring.encoding.TextTokenizer`, for any number of threads."""

    def __init__(self, model: str) -> None:
        self._tokenizer = load_tokenizer(model)
        self._turn = Lock()
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
        # The tokenizer itself refuses two threads at once.
        with self._turn:
            encoded = self._tokenizer(
                list(texts),
                add_special_tokens=special,
                return_attention_mask=False,
                return_token_type_ids=False,
                **_AS_IS,
            )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def chat(self, content: str, *, generation_prompt: bool) -> str:
        """The text of a chat whose one turn is the user's `content`."""
        if not self._tokenizer.chat_template:
            raise ModelUnsupported("mode 'chat': the model has no chat template; use mode 'plain'")
        turn = [{"role": "user", "content": content}]
        return str(self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=generation_prompt))


class RewardTokenizer:
    """What a reward model reads of a pair. Not for two threads at once.

    A chat of two turns through the model's template; where it has none, the question and the answer as the
    tokenizer's pair of texts. `limit` is the longest text in tokens that the tokenizer knows of.
    """

    def __init__(self, model: str, trust_remote_code: bool = False) -> None:
        self._tokenizer = load_tokenizer(model, trust_remote_code)
        self.limit = int(self._tokenizer.model_max_length)

    def __call__(self, pairs: Sequence[Pair]) -> list[dict[str, list[int]]]:
        """The model's inputs for each pair by their names, such as input_ids; never truncated or padded."""
        if not pairs:
            return []
        if self._tokenizer.chat_template:
            encoded = self._tokenizer([self._chat(pair) for pair in pairs], add_special_tokens=False, **_AS_IS)
        else:
            encoded = self._tokenizer([pair.question for pair in pairs], [pair.output for pair in pairs], **_AS_IS)
        return [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]

    def _chat(self, pair: Pair) -> str:
        turns = [{"role": "user", "content": pair.question}, {"role": "assistant", "content": pair.output}]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False))
