"""Attention over a packed row: causal within each sequence, none across, as transformers attention functions.

One calls FlashAttention's variable-length kernel, which torch brings, once a layer; the other runs anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from scoring.errors import ModelUnsupported
from scoring.forward.fit import FLASH, PACKED
from scoring.packing import Run, runs, starts


@dataclass(slots=True)
class Layout:
    """The packed row as its attention sees it; `windows` collects the sliding windows that layers ask for.

    runs: neighbours of equal length. borders: int32 [sequences + 1] on the model's device, where each sequence starts
    and the last one ends. longest: tokens of the longest.
    """

    runs: list[Run]
    borders: Tensor
    longest: int
    windows: set[int | None] = field(default_factory=set)

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "Layout":
        """The layout of a row that holds sequences of these lengths one behind the other."""
        borders = [*starts(lengths, padded=False), sum(lengths)]
        return cls(list(runs(lengths)), torch.tensor(borders, dtype=torch.int32, device=device), max(lengths))


def _flash_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    layout: Layout | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """`_packed_attention` by one call of the variable-length kernel: half precision on a GPU, no soft-cap."""
    layout = _usable(layout, other)
    if softcap is not None:
        raise ModelUnsupported("the variable-length kernel has no soft-cap on attention logits")
    layout.windows.add(sliding_window)
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    borders, longest = layout.borders, layout.longest
    window = (-1 if sliding_window is None else sliding_window - 1, 0)
    grouped = k.shape[1] != q.shape[1]
    out = varlen_attn(
        q, k, v, borders, borders, longest, longest, scale=scaling, window_size=window, enable_gqa=grouped
    )
    return cast(Tensor, out).unsqueeze(0), None


def _packed_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    layout: Layout | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sequence of a packed row, as a transformers attention function.

    query, key, value: [1, heads, tokens, width], key and value maybe with fewer heads. Returns [1, tokens,
    heads, width]. Sequences of equal length go through one call; none sees another.
    """
    layout = _usable(layout, other)
    layout.windows.add(sliding_window)
    out = value.new_empty(query.shape[2], query.shape[1], value.shape[3])
    for run in layout.runs:
        rows = slice(run.start, run.start + run.count * run.length)
        q, k, v = (_sequences(x[0, :, rows], run.count) for x in (query, key, value))
        mixed = _causal_attention(q, k, v, scaling, sliding_window, softcap)
        out[rows].view(run.count, run.length, *out.shape[1:]).copy_(mixed.transpose(1, 2))
    return out.unsqueeze(0), None


def _usable(layout: Layout | None, other: dict[str, Any]) -> Layout:
    if layout is None or other.get("s_aux") is not None or other.get("position_bias") is not None:
        raise ModelUnsupported("the model's attention takes more than packed attention offers")
    return layout


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


# What differs between batches would be compiled into the layers otherwise.
_uncompiled: Any = torch.compiler.disable
AttentionInterface.register(FLASH, _uncompiled(_flash_attention))
AttentionInterface.register(PACKED, _packed_attention)
