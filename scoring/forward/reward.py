"""A sequence classification model with one label: the inputs of texts in, one logit a text out."""

import inspect
import logging
from collections.abc import Sequence
from functools import partial

import torch

from scoring.config import RewardConfig
from scoring.forward.model import context_length, load_reward_model
from scoring.forward.out_of_memory import unless_out_of_memory
from scoring.memory import CEILING
from scoring.packing import pad

logger = logging.getLogger(__name__)

Inputs = dict[str, list[int]]
"""A text's tokens and whatever else the tokenizer gives for each of them, by the name of the model's argument."""


class RewardModel:
    """Runs texts in length-sorted, padded batches. `context` is the model's limit in tokens (None: none).

    Raises `ScoringError` if the model does not serve.
    """

    def __init__(self, config: RewardConfig) -> None:
        self._model = load_reward_model(config)
        self.context = context_length(self._model)
        # Some tokenizers give more than their model takes.
        self._arguments = set(inspect.signature(self._model.forward).parameters)
        self._threads = torch.get_num_threads()
        self._budget = config.token_budget or CEILING[self._model.device.type]
        # The logit is read at the last token that is no padding, which without a padding token cannot be told.
        self._padding: int | None = self._model.config.get_text_config().pad_token_id

    @torch.inference_mode()
    def logits(self, texts: Sequence[Inputs]) -> list[float | None]:
        """The logit of each text, in order; None for one that does not fit into memory even alone."""
        # The setting is a thread's own, and the calling thread may be new.
        torch.set_num_threads(self._threads)
        result: list[float | None] = [None] * len(texts)
        lengths = [len(text["input_ids"]) for text in texts]
        batches = [[place] for place in range(len(texts))] if self._padding is None else pad(lengths, self._budget)
        for batch in batches:
            for place, value in zip(batch, self._run([texts[place] for place in batch]), strict=True):
                result[place] = value
        return result

    def _run(self, texts: Sequence[Inputs]) -> Sequence[float | None]:
        size = len(texts) * max(len(text["input_ids"]) for text in texts)
        if len(texts) == 1 or size <= self._budget:
            values = unless_out_of_memory(partial(self._forward, texts))
            if values is not None or len(texts) == 1:
                return values or [None]
            self._budget = max(size // 2, 1)
            logger.warning("out of memory: %d tokens a pass of the reward model from here on", self._budget)
        half = len(texts) // 2
        return [*self._run(texts[:half]), *self._run(texts[half:])]

    def _forward(self, texts: Sequence[Inputs]) -> list[float]:
        longest = max(len(text["input_ids"]) for text in texts)
        filling = {"input_ids": self._padding or 0}
        inputs = {
            name: torch.tensor(
                [text[name] + [filling.get(name, 0)] * (longest - len(text[name])) for text in texts],
                device=self._model.device,
            )
            for name in texts[0].keys() & self._arguments
        }
        values: list[float] = self._model(**inputs).logits[:, 0].float().tolist()
        return values
