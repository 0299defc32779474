"""Which way to run a model: tried out on the model itself when it is loaded.

A way fits if it gives each of a few short sequences, run together, the hidden states that the model's own
attention gives it alone. So neither a cache, a mask, position ids, a sliding window nor an attention of a new
kind can make losses wrong in silence.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from scoring.config import Attention
from scoring.errors import ModelUnsupported

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
# Hidden states, [tokens, width], of each of the sequences when run together in one way.
RunProbes = Callable[[Attention, list[list[int]]], list[Array]]

FLASH, PACKED = "scoring_varlen", "scoring_packed"
_IMPLEMENTATIONS: dict[Attention, str] = {"flash": FLASH, "packed": PACKED}
# By the bytes of a number, relative to the largest one. Half-precision kernels round differently; a leak between
# sequences is far larger than either.
TOLERANCE = {4: 1e-3, 2: 5e-2}
# A sliding window up to this many tokens is tried out beyond its edge.
_LONGEST_PROBE = 1024


def fitting_attention(model: PreTrainedModel, requested: Attention, run: RunProbes) -> Attention:
    """The requested way, or for `auto` the fastest, that fits; leaves the model set to it.

    Raises `ModelUnsupported` with the reason if there is none.
    """
    own = model.config._attn_implementation
    sequences = probes(model)
    alone = [run("padded", [ids])[0] for ids in sequences]
    reason = None
    for attention in ("flash", "packed", "padded") if requested == "auto" else (requested,):
        reason = _obstacle(model, attention) or _difference(model, alone, partial(run, attention, sequences))
        if reason is None:
            return attention
        logger.info("%s attention is out: %s", attention, reason)
        model.set_attn_implementation(own)
    raise ModelUnsupported(f"attention {requested!r}: {reason}")


def sliding_window(model: PreTrainedModel) -> int | None:
    """Tokens that the model's sliding layers look back on, None if it has none."""
    settings: Any = model.config.get_text_config()
    kinds = getattr(settings, "layer_types", None)
    window: int | None = getattr(settings, "sliding_window", None)
    return window if kinds is None or "sliding_attention" in kinds else None


def agree(found: Array, expected: Array, tolerance: float) -> bool:
    """Whether two arrays are equal to `tolerance` of the largest number expected."""
    return bool(np.abs(found - expected).max() <= tolerance * np.abs(expected).max())


def disagreement(losses: Callable[[], Array], expected: Array, tolerance: float) -> str | None:
    """Why a change to a model cannot stay: `losses()` fail, or are not `expected`. None if it can."""
    try:
        return None if agree(losses(), expected, tolerance) else "its losses change"
    except Exception as error:  # compilers, one of them the system's, fail in ways that have no common root
        return f"{type(error).__name__}: {error}".splitlines()[0]


def probe(length: int, vocabulary: int) -> list[int]:
    """Token ids that repeat late and mean nothing."""
    return [(17 * index * index + 5 * index + 3) % vocabulary for index in range(length)]


def probes(model: PreTrainedModel) -> list[list[int]]:
    """A few short sequences to try a model on, one of them beyond its sliding window."""
    settings: Any = model.config.get_text_config()
    window = sliding_window(model) or 0
    lengths = [9, 5, 5, 3] + ([window + 3] if 0 < window <= _LONGEST_PROBE else [])
    return [probe(length, settings.vocab_size) for length in lengths]


def _obstacle(model: PreTrainedModel, attention: Attention) -> str | None:
    if attention not in _IMPLEMENTATIONS:
        return None
    if attention == "flash" and not (model.device.type == "cuda" and model.dtype.itemsize == 2):
        return "it needs a GPU and a half-precision dtype"
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    if other := kinds - {"full_attention", "sliding_attention"}:
        return f"the model has layers of type {', '.join(sorted(other))}"
    if not model._can_set_attn_implementation():
        return f"{type(model).__name__} does not let its attention be replaced"
    try:
        model.set_attn_implementation(_IMPLEMENTATIONS[attention])
    except (ValueError, ImportError) as error:
        return str(error)
    return None


def _difference(model: PreTrainedModel, alone: list[Array], run: Callable[[], list[Array]]) -> str | None:
    try:
        pairs = zip(run(), alone, strict=True)
    except torch.OutOfMemoryError:
        raise
    except (ModelUnsupported, TypeError, ValueError, RuntimeError) as error:
        # a kernel that the device or the width of the heads does not allow raises RuntimeError
        return str(error).splitlines()[0]
    tolerance = TOLERANCE[model.dtype.itemsize]
    same = all(agree(found, expected, tolerance) for found, expected in pairs)
    return None if same else "its hidden states are not those of each sequence alone"
