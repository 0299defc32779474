"""Any number of sequences in, their mean losses out: passes under a token budget, several at once on a CPU."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from scoring.config import Attention, ScorerConfig
from scoring.forward.out_of_memory import unless_out_of_memory
from scoring.forward.passes import ForwardPass
from scoring.memory import CEILING, budget_from_memory, free_host_memory
from scoring.packing import pack, pad
from scoring.spans import TokenSequence, span_means

logger = logging.getLogger(__name__)

# Passes at once on a CPU. Beyond this they wait for the interpreter, which starts every operation.
_MAX_WORKERS = 8


class LossModel:
    """A causal language model that gives the mean losses of token sequences.

    `context` is the model's limit in tokens (None: none), `attention` the way chosen to run it,
    `token_budget` the tokens of one forward pass, which an out-of-memory error halves. Raises
    `ScoringError` if the model or the configuration does not serve.
    """

    def __init__(self, config: ScorerConfig) -> None:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self._pass = ForwardPass(config)
        self.context = self._pass.context
        self.attention: Attention = self._pass.attention
        self._workers, self._map = _workers(self._pass.model.device)
        self.token_budget = config.token_budget or self._budget()
        logger.info(
            "scoring with %s: %s attention, %s LM head, %d tokens a forward pass, %d at once, %s on %s",
            config.model,
            self.attention,
            "tiled" if self._pass.head else "whole",
            self.token_budget,
            self._workers,
            self._pass.model.dtype,
            self._pass.model.device,
        )

    def mean_losses(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...] | None]:
        """The mean cross-entropy in nats of each span of each sequence, in order.

        None for a sequence that does not fit into memory even alone. Means are taken in float64.
        """
        means: list[tuple[float, ...] | None] = [None] * len(sequences)
        left = self._fill(means, sequences, range(len(sequences)), self._map)
        # What failed beside other passes may fit with the memory to itself.
        self._fill(means, sequences, left, map)
        return means

    def _fill(
        self,
        means: list[tuple[float, ...] | None],
        sequences: Sequence[TokenSequence],
        indices: Sequence[int],
        run: Callable[..., Iterable[Tensor | None]],
    ) -> list[int]:
        """Compute the means of the sequences at `indices`; answers those that do not fit into memory alone."""
        alone: list[int] = []
        while indices:
            failed: list[int] = []
            batches = self._batches(sequences, indices)
            members = [[sequences[index] for index in batch] for batch in batches]
            # All passes are queued before the first result is fetched, which would wait for the device.
            losses = list(run(self._nll_unless_out_of_memory, members))
            for batch, group, nll in zip(batches, members, losses, strict=True):
                if nll is None:
                    (alone if len(batch) == 1 else failed).extend(batch)
                    continue
                for index, values in zip(batch, span_means(group, nll.cpu().numpy()), strict=True):
                    means[index] = values
            indices = failed
        return alone

    def _batches(self, sequences: Sequence[TokenSequence], indices: Sequence[int]) -> list[list[int]]:
        lengths = [len(sequences[index].ids) - 1 for index in indices]
        padded = self.attention == "padded"
        batches = pad(lengths, self.token_budget) if padded else pack(lengths, self.token_budget, self._workers)
        return [[indices[place] for place in batch] for batch in batches]

    @torch.inference_mode()
    def _nll_unless_out_of_memory(self, members: Sequence[TokenSequence]) -> Tensor | None:
        """None if memory ran out, then or for a batch before that was no larger than this one is."""
        size = self._pass.size(members)
        if len(members) > 1 and size > self.token_budget:
            return None
        nll = unless_out_of_memory(partial(self._pass.nll, members))
        if nll is None and len(members) > 1:
            self.token_budget = max(min(self.token_budget, size // 2), 1)
            logger.warning("out of memory: %d tokens a forward pass from here on", self.token_budget)
        return nll

    def _budget(self) -> int:
        model = self._pass.model
        ceiling = CEILING[model.device.type]
        free = torch.cuda.mem_get_info(model.device)[0] if model.device.type == "cuda" else free_host_memory()
        if free is None:
            return ceiling
        config: Any = model.config.get_text_config()
        inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        logits = 0 if self._pass.head else 8 * config.vocab_size
        activations = model.dtype.itemsize * (12 * config.hidden_size + 4 * inner)
        return budget_from_memory(free // self._workers, activations + logits, ceiling)


def _workers(device: torch.device) -> tuple[int, Callable[..., Iterable[Any]]]:
    """How many forward passes run at once, and the `map` that does it.

    On a CPU each pass has a core of its own as far as that goes: passes never wait for each other, while the
    threads of one pass meet at the end of every operation. A GPU runs one pass after the other.
    """
    threads = torch.get_num_threads()
    workers = min(threads, _MAX_WORKERS) if device.type == "cpu" else 1
    if workers == 1:
        return 1, map
    pool = ThreadPoolExecutor(workers, "score", torch.set_num_threads, (threads // workers,))
    return workers, pool.map
