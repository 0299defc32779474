"""Token ids in, mean cross-entropies out: the one module that imports torch.

Sequences are packed into one row without padding, each attending to itself alone, positions counted from 0.
The last token of a sequence is only ever predicted, so it is not run. The LM head and the cross-entropy go
in tiles of positions x vocabulary with a running logsumexp in float32; full logits never exist.

`scoring.fit` tries the ways to run a model on the model itself before one is used.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig

from scoring.config import Attention, ScorerConfig
from scoring.errors import ModelUnsupported
from scoring.fit import PACKED, agree, fitting_attention, probe, sliding_window
from scoring.memory import budget_from_memory, free_host_memory
from scoring.model import context_length, load_model
from scoring.packing import Run, pack, pad, runs, starts
from scoring.spans import TokenSequence, scored, span_means

logger = logging.getLogger(__name__)

# More tokens than this gain nothing: on a CPU they leave the cache, on a GPU launches are hidden already.
_CEILING = {"cpu": 1024, "cuda": 16384}
# Passes at once on a CPU. Beyond this they wait for the interpreter, which starts every operation.
_MOST_WORKERS = 8
# Positions x vocabulary entries of a tile of the LM head.
_TILE = {"cpu": (1024, 2048), "cuda": (4096, 16384)}


@dataclass(slots=True)
class _Layout:
    """The packed row as its attention sees it; `windows` collects the sliding windows that layers ask for."""

    runs: list[Run]
    windows: set[int | None] = field(default_factory=set)


def _packed_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    layout: _Layout | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sequence of a packed row, as a transformers attention function.

    query, key, value: [1, heads, tokens, width], key and value maybe with fewer heads. Returns [1, tokens,
    heads, width]. Sequences of equal length go through one call; none sees another.
    """
    if layout is None or other.get("s_aux") is not None or other.get("position_bias") is not None:
        raise ModelUnsupported("the model's attention takes more than packed attention offers")
    layout.windows.add(sliding_window)
    out = value.new_empty(query.shape[2], query.shape[1], value.shape[3])
    for run in layout.runs:
        rows = slice(run.start, run.start + run.count * run.length)
        q, k, v = (_sequences(x[0, :, rows], run.count) for x in (query, key, value))
        mixed = _causal_attention(q, k, v, scaling, sliding_window, softcap)
        out[rows].view(run.count, run.length, *out.shape[1:]).copy_(mixed.transpose(1, 2))
    return out.unsqueeze(0), None


def _sequences(x: Tensor, count: int) -> Tensor:
    """[heads, count * length, width] as [count, heads, length, width], without a copy."""
    return x.view(x.shape[0], count, -1, x.shape[2]).transpose(0, 1)


def _causal_attention(
    q: Tensor, k: Tensor, v: Tensor, scaling: float | None, window: int | None, softcap: float | None
) -> Tensor:
    """[batch, heads, length, width] in and out; a token sees itself and the window - 1 before it."""
    length = q.shape[2]
    grouped = k.shape[1] != q.shape[1]
    if softcap is None and (window is None or length <= window):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped)
    seen = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    if softcap is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scaling, enable_gqa=grouped)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = q @ k.transpose(2, 3) * (q.shape[3] ** -0.5 if scaling is None else scaling)
    scores = torch.tanh(scores / softcap) * softcap
    return scores.masked_fill(~seen, float("-inf")).softmax(-1, dtype=torch.float32).to(v.dtype) @ v


AttentionInterface.register(PACKED, _packed_attention)


class _TiledHead:
    """LM head and cross-entropy in one, tile by tile."""

    def __init__(self, head: nn.Linear, config: PretrainedConfig) -> None:
        self._weight, self._bias = head.weight, head.bias
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies its logits, Granite divides them.
        self._scale = getattr(config, "logit_scale", None) or 1 / getattr(config, "logits_scaling", 1)
        self._positions, self._entries = _TILE[self._weight.device.type]

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy in nats, float32 [n], of `targets` [n] under hidden states [n, width]."""
        tiles = [slice(first, first + self._positions) for first in range(0, len(hidden), self._positions)]
        return torch.cat([self._logsumexp(hidden[t]) - self._target_logit(hidden[t], targets[t]) for t in tiles])

    def _logsumexp(self, hidden: Tensor) -> Tensor:
        top = hidden.new_full((len(hidden),), float("-inf"), dtype=torch.float32)
        total = torch.zeros_like(top)
        for first in range(0, len(self._weight), self._entries):
            entries = slice(first, first + self._entries)
            logits = _matmul(hidden, self._weight[entries])
            if self._bias is not None:
                logits += self._bias[entries]
            logits = self._transform(logits)
            higher = torch.maximum(top, logits.amax(1))
            total.mul_((top - higher).exp_()).add_(logits.sub_(higher[:, None]).exp_().sum(1))
            top = higher
        return top + total.log_()

    def _target_logit(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = (hidden.float() * self._weight[targets].float()).sum(1)
        if self._bias is not None:
            logits += self._bias[targets]
        return self._transform(logits)

    def _transform(self, logits: Tensor) -> Tensor:
        if self._scale != 1:
            logits = logits.mul_(self._scale)
        if self._softcap is not None:
            logits = logits.div_(self._softcap).tanh_().mul_(self._softcap)
        return logits


def _matmul(hidden: Tensor, weight: Tensor) -> Tensor:
    """hidden @ weight.T in float32, whatever the two are stored in."""
    if hidden.dtype == torch.float32:
        return hidden @ weight.T
    if hidden.is_cuda:
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)
    return hidden.float() @ weight.T.float()


class LossModel:
    """A causal language model that gives the mean losses of token sequences.

    `context` is the model's limit in tokens (None: none), `attention` the way chosen to run it,
    `token_budget` the tokens of one forward pass, which an out-of-memory error halves. Raises
    `ScoringError` if the model or the configuration does not serve.
    """

    def __init__(self, config: ScorerConfig) -> None:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self._model: Any = load_model(config)
        self.context = context_length(self._model)
        self.attention: Attention = "padded"
        with torch.inference_mode():
            self._head = self._matching_head()
            self.attention = fitting_attention(self._model, config.attention, self._try)
        self._workers, self._map = self._start_workers()
        self.token_budget = config.token_budget or self._budget()
        logger.info(
            "scoring with %s: %s attention, %s LM head, %d tokens a forward pass, %d at once, %s on %s",
            config.model,
            self.attention,
            "tiled" if self._head else "whole",
            self.token_budget,
            self._workers,
            self._model.dtype,
            self._model.device,
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

    def _size(self, members: Sequence[TokenSequence]) -> int:
        lengths = [len(member.ids) - 1 for member in members]
        return len(lengths) * max(lengths) if self.attention == "padded" else sum(lengths)

    @torch.inference_mode()
    def _nll_unless_out_of_memory(self, members: Sequence[TokenSequence]) -> Tensor | None:
        """None if memory ran out, then or for a batch before that was no larger than this one is."""
        size = self._size(members)
        if len(members) > 1 and size > self.token_budget:
            return None
        try:
            return self._nll(members)
        except MemoryError:
            pass
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
        # Behind the handlers, whose traceback still holds the failed pass's tensors.
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(members) > 1:
            self.token_budget = max(min(self.token_budget, size // 2), 1)
            logger.warning("out of memory: %d tokens a forward pass from here on", self.token_budget)
        return None

    def _nll(self, members: Sequence[TokenSequence]) -> Tensor:
        """Cross-entropy of every token in a span, in order: float32 [tokens]."""
        rows = [member.ids[:-1] for member in members]
        places, targets = scored(members, self._starts(rows))
        inputs, labels = self._inputs(rows), self._tensor(targets)
        if self._head is None:
            logits: Tensor = self._model(**inputs, use_cache=False).logits.flatten(0, 1)[self._tensor(places)]
            return F.cross_entropy(logits.float(), labels, reduction="none")
        hidden = self._hidden(inputs)
        return self._head.nll(hidden if len(places) == len(hidden) else hidden[self._tensor(places)], labels)

    def _hidden(self, inputs: dict[str, Any]) -> Tensor:
        """The last hidden states of all rows, laid out flat: [tokens, width]."""
        # With a cache, transformers ignores the packing and lets sequences see each other, silently.
        hidden: Tensor = self._model.get_decoder()(**inputs, use_cache=False).last_hidden_state
        return hidden.flatten(0, 1)

    def _starts(self, rows: list[list[int]]) -> list[int]:
        return starts([len(row) for row in rows], padded=self.attention == "padded")

    def _inputs(self, rows: list[list[int]]) -> dict[str, Any]:
        lengths = [len(row) for row in rows]
        if self.attention == "padded":
            # Padding follows the text, where causal attention never looks.
            return {"input_ids": self._tensor([row + [0] * (max(lengths) - len(row)) for row in rows])}
        packed = {
            "input_ids": self._tensor([list(chain.from_iterable(rows))]),
            "position_ids": self._tensor([list(chain.from_iterable(map(range, lengths)))]),
        }
        if self.attention == "packed":
            return packed | {"layout": _Layout(list(runs(lengths)))}
        borders, longest = self._tensor([*self._starts(rows), sum(lengths)]).int(), max(lengths)
        limits = {"max_length_q": longest, "max_length_k": longest}
        return packed | {"cu_seq_lens_q": borders, "cu_seq_lens_k": borders} | limits

    def _try(self, attention: Attention, rows: list[list[int]]) -> list[NDArray[np.float32]]:
        """Each row's hidden states under that attention; raises `ModelUnsupported` if a layer objects."""
        self.attention = attention
        inputs = self._inputs(rows)
        hidden = self._hidden(inputs).float().cpu().numpy()
        layout: _Layout | None = inputs.get("layout")
        if layout and sliding_window(self._model) not in layout.windows | {None}:
            raise ModelUnsupported("the model's layers do not tell their sliding window")
        return [hidden[start : start + len(row)] for start, row in zip(self._starts(rows), rows, strict=True)]

    def _tensor(self, values: list[Any]) -> Tensor:
        return torch.tensor(values, device=self._model.device)

    def _start_workers(self) -> tuple[int, Callable[..., Iterable[Any]]]:
        """How many forward passes run at once, and the `map` that does it.

        On a CPU each pass has a core of its own as far as that goes: passes never wait for each other, while the
        threads of one pass meet at the end of every operation. A GPU runs one pass after the other.
        """
        threads = torch.get_num_threads()
        workers = min(threads, _MOST_WORKERS) if self._model.device.type == "cpu" else 1
        if workers == 1:
            return 1, map
        pool = ThreadPoolExecutor(workers, "score", torch.set_num_threads, (threads // workers,))
        return workers, pool.map

    def _budget(self) -> int:
        device = self._model.device
        ceiling = _CEILING[device.type]
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_memory()
        if free is None:
            return ceiling
        config: Any = self._model.config.get_text_config()
        inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        logits = 0 if self._head else 8 * config.vocab_size
        activations = self._model.dtype.itemsize * (12 * config.hidden_size + 4 * inner)
        return budget_from_memory(free // self._workers, activations + logits, ceiling)

    def _matching_head(self) -> _TiledHead | None:
        """The head in tiles, or None where the model's own logits come out otherwise."""
        head = self._model.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            return None
        tiled = _TiledHead(head, self._model.config.get_text_config())
        ids = self._tensor(probe(9, head.out_features))
        logits = self._model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        own = F.cross_entropy(logits.float(), ids[1:], reduction="none")
        found = tiled.nll(self._hidden({"input_ids": ids[None]})[:-1], ids[1:])
        return tiled if agree(found.cpu().numpy(), own.cpu().numpy(), logits.dtype.itemsize) else None
