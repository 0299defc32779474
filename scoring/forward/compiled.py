"""A model's layers and loss compiled by `torch.compile`: what stands between matrix products becomes few kernels.

On a GPU norms, rotary positions, activations, residual additions and the softmax of the loss each read and write all of
a pass's tokens, a third of its time. Compiled once for any number of tokens; attention stays what it is, a call between
two compiled parts.
"""

import logging
from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from scoring.forward.fit import TOLERANCE, Array, disagreement
from scoring.forward.head import TiledHead, fold

logger = logging.getLogger(__name__)


def compile_pass(model: PreTrainedModel, head: TiledHead | None, losses: Callable[[], Array]) -> None:
    """Compile the decoder layers and the head; undo it, with a logged reason, if it fails or changes `losses()`.

    Takes tens of seconds, once in a process.
    """
    expected = losses()
    layers = [module for module in model.modules() if type(module).__name__ in (model._no_split_modules or ())]
    for layer in layers:
        layer.compile(dynamic=True)
    if head:
        head.fold = torch.compile(fold, dynamic=True)
    reason = disagreement(losses, expected, TOLERANCE[model.dtype.itemsize])
    if reason is None:
        logger.info("%d layers are compiled", len(layers))
        return
    logger.warning("the model is not compiled, scoring is slower: %s", reason)
    _undo(layers, head)


def _undo(layers: list[nn.Module], head: TiledHead | None) -> None:
    for layer in layers:
        layer._compiled_call_impl = None
    if head:
        head.fold = fold
