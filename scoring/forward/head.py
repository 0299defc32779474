"""LM head and cross-entropy in one, in tiles of positions x vocabulary, so that full logits never exist."""

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

# Positions x vocabulary entries of a tile.
_TILE = {"cpu": (1024, 2048), "cuda": (4096, 16384)}


class TiledHead:
    """LM head and cross-entropy in one, tile by tile. `fold` takes a tile in; a compiled one may replace it."""

    def __init__(self, head: nn.Linear, config: PretrainedConfig) -> None:
        self._weight: Tensor = head.weight
        self._bias: Tensor | None = head.bias
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies its logits, Granite divides them.
        self._scale = getattr(config, "logit_scale", None) or 1 / getattr(config, "logits_scaling", 1)
        self.fold = fold
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
            top, total = self.fold(top, total, self._transform(logits))
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


def fold(top: Tensor, total: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The running maximum and sum of exponentials below it, float32 [n] each, with `logits` [n, entries] taken in."""
    higher = torch.maximum(top, logits.amax(1))
    return higher, total.mul_((top - higher).exp_()).add_(logits.sub_(higher[:, None]).exp_().sum(1))


def _matmul(hidden: Tensor, weight: Tensor) -> Tensor:
    """hidden @ weight.T in float32, whatever the two are stored in."""
    if hidden.dtype == torch.float32:
        return hidden @ weight.T
    if hidden.is_cuda:
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)
    return hidden.float() @ weight.T.float()
