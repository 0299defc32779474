"""One forward pass: a few sequences in, the cross-entropy of every token that counts out.

Sequences are packed into one row without padding, each attending to itself alone, positions counted from 0.
The last token of a sequence is only ever predicted, so it is not run. `scoring.forward.fit` tries the ways to
run a model on the model itself before one is used.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scoring.config import Attention, ScorerConfig
from scoring.errors import ModelUnsupported
from scoring.forward.attention import Layout
from scoring.forward.compiled import compile_pass
from scoring.forward.fit import TOLERANCE, agree, fitting_attention, probe, probes, sliding_window
from scoring.forward.head import TiledHead
from scoring.forward.model import context_length, load_model
from scoring.packing import starts
from scoring.spans import Span, TokenSequence, scored


class ForwardPass:
    """A causal language model, set to the fastest way of running it that fits it.

    `model` is the model itself, `context` its limit in tokens (None: none), `attention` the way chosen, `head`
    the LM head in tiles (None: the model's own, whole). Raises `ScoringError` if model or configuration do not serve.
    """

    def __init__(self, config: ScorerConfig) -> None:
        self.model: Any = load_model(config)
        self.context = context_length(self.model)
        self.attention: Attention = "padded"
        with torch.inference_mode():
            self.head = self._matching_head()
            self.attention = fitting_attention(self.model, config.attention, self._try)
            if self.attention == "flash" and config.compiled:
                compile_pass(self.model, self.head, self._probe_losses)

    def nll(self, members: Sequence[TokenSequence]) -> Tensor:
        """Cross-entropy in nats of every token in a span, in order: float32 [tokens]."""
        rows = [member.ids[:-1] for member in members]
        places, targets = scored(members, self._starts(rows))
        inputs, labels = self._inputs(rows), self._tensor(targets)
        if self.head is None:
            logits: Tensor = self.model(**inputs, use_cache=False).logits.flatten(0, 1)[self._tensor(places)]
            return F.cross_entropy(logits.float(), labels, reduction="none")
        hidden = self._hidden(inputs)
        return self.head.nll(hidden if len(places) == len(hidden) else hidden[self._tensor(places)], labels)

    def size(self, members: Sequence[TokenSequence]) -> int:
        """Tokens that a pass over `members` runs, padding included."""
        lengths = [len(member.ids) - 1 for member in members]
        return len(lengths) * max(lengths) if self.attention == "padded" else sum(lengths)

    def _hidden(self, inputs: dict[str, Any]) -> Tensor:
        """The last hidden states of all rows, laid out flat: [tokens, width]."""
        # With a cache, transformers ignores the packing and lets sequences see each other, silently.
        hidden: Tensor = self.model.get_decoder()(**inputs, use_cache=False).last_hidden_state
        return hidden.flatten(0, 1)

    def _starts(self, rows: list[list[int]]) -> list[int]:
        return starts([len(row) for row in rows], padded=self.attention == "padded")

    def _inputs(self, rows: list[list[int]]) -> dict[str, Any]:
        lengths = [len(row) for row in rows]
        if self.attention == "padded":
            # Padding follows the text, where causal attention never looks.
            return {"input_ids": self._tensor([row + [0] * (max(lengths) - len(row)) for row in rows])}
        return {
            "input_ids": self._tensor([list(chain.from_iterable(rows))]),
            "position_ids": self._tensor([list(chain.from_iterable(map(range, lengths)))]),
            "layout": Layout.of(lengths, self.model.device),
        }

    def _try(self, attention: Attention, rows: list[list[int]]) -> list[NDArray[np.float32]]:
        """Each row's hidden states under that attention; raises `ModelUnsupported` if a layer objects."""
        self.attention = attention
        inputs = self._inputs(rows)
        hidden = self._hidden(inputs).float().cpu().numpy()
        layout: Layout | None = inputs.get("layout")
        if layout and sliding_window(self.model) not in layout.windows | {None}:
            raise ModelUnsupported("the model's layers do not tell their sliding window")
        return [hidden[start : start + len(row)] for start, row in zip(self._starts(rows), rows, strict=True)]

    def _probe_losses(self) -> NDArray[np.float32]:
        sequences = [TokenSequence(ids, (Span("a", 1, len(ids)),)) for ids in probes(self.model)]
        return self.nll(sequences).cpu().numpy()

    def _tensor(self, values: list[Any]) -> Tensor:
        return torch.tensor(values, device=self.model.device)

    def _matching_head(self) -> TiledHead | None:
        """The head in tiles, or None where the model's own logits come out otherwise."""
        head = self.model.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            return None
        tiled = TiledHead(head, self.model.config.get_text_config())
        ids = self._tensor(probe(9, head.out_features))
        logits = self.model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        own = F.cross_entropy(logits.float(), ids[1:], reduction="none")
        found = tiled.nll(self._hidden({"input_ids": ids[None]})[:-1], ids[1:])
        return tiled if agree(found.cpu().numpy(), own.cpu().numpy(), TOLERANCE[logits.dtype.itemsize]) else None
